"""A compose project as Docker Compose itself reads it.

Compose files are never parsed here: ``docker compose config --format json`` is the one way they are read, so what is
believed and what compose does cannot differ. The command line is run directly, each time with a deadline: the wrappers
there are for it wait for ever.

Compose gets no variable of this process that could change the project: the control plane's own ``POSTGRES_PASSWORD``
or ``QDRANT_URL`` would win over the platform's ``.env``, and the daemon, the command line and an operator's shell
would each see another project. What the platform is made of stands in its project directory.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from archon_dagster.errors import ConfigurationError, ServiceError

_FILES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
_INHERITED = (
    *("PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)
_INHERITED_PREFIXES = ("DOCKER_", "XDG_")
_CONFIG_LIMIT = 30.0  # seconds
_END_BUDGET = 10.0  # seconds a killed command may take to be gone
_TAIL = 2000  # characters of what a failed command said


def environment() -> dict[str, str]:
    """What of this process's environment the Docker command line gets: how to reach the engine, nothing else."""
    return {
        name: value for name, value in os.environ.items() if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }


def is_project(directory: Path) -> bool:
    """Whether a compose project is in this directory; compose itself would go on and search the parents."""
    if any((directory / name).is_file() for name in _FILES):
        return True
    return bool((directory / ".env").is_file() and dotenv_values(directory / ".env").get("COMPOSE_FILE"))


def client_installed() -> bool:
    """Whether there is a ``docker`` program here; says nothing about an engine."""
    return shutil.which("docker") is not None


@dataclass(frozen=True, slots=True)
class ComposeProject:
    """One project: its directory and its name, which is what its containers are found by."""

    directory: Path
    name: str

    def config(self, **variables: str) -> dict[str, Any]:
        """The project as compose resolves it now; raises :class:`ConfigurationError` where compose refuses it.

        :param variables: as if they stood in the ``.env``.
        """
        return self._resolved(variables, None)

    def config_with(self, env_file: Path) -> dict[str, Any]:
        """The same with another file in the place of the project's ``.env``."""
        return self._resolved({}, env_file)

    def _resolved(self, variables: Mapping[str, str], env_file: Path | None) -> dict[str, Any]:
        self._require()
        code, out, said = self._run(["config", "--format", "json"], _CONFIG_LIMIT, variables, env_file=env_file)
        if code != 0:
            raise ConfigurationError(
                f"Docker Compose does not accept the project: {said}",
                where=str(self.directory),
                todo="correct it until this is content: docker compose config --quiet",
            )
        resolved: dict[str, Any] = json.loads(out)
        return resolved

    def run(self, *arguments: str, limit: float, inherits: int | None = None) -> None:
        """One compose command; raises :class:`ServiceError` with what it said when it fails or takes too long.

        :param inherits: a descriptor that the command keeps open as long as it runs, whatever happens to its caller.
        """
        self._require()
        code, _, said = self._run(list(arguments), limit, inherits=inherits)
        if code != 0:
            raise ServiceError(f"docker compose {arguments[0]} failed: {said}", where=f"compose project {self.name}")

    def _require(self) -> None:
        if not is_project(self.directory):
            raise ConfigurationError(
                "there is no compose file here",
                where=str(self.directory),
                todo="set ARCHON_PROJECT_DIR to the platform's directory (compose.yaml or COMPOSE_FILE in its .env)",
            )

    @property
    def env_file(self) -> Path:
        """What compose takes the project's variables from."""
        return self.directory / ".env"

    def _run(
        self, arguments: list[str], limit: float, variables: Mapping[str, str] | None = None, *,
        env_file: Path | None = None, inherits: int | None = None,
    ) -> tuple[int, str, str]:  # fmt: skip
        other = ["--env-file", str(env_file)] if env_file else []
        command = ["docker", "compose", "--ansi", "never", "--progress", "plain", *other,
                   "--project-directory", str(self.directory), "--project-name", self.name, *arguments]  # fmt: skip
        try:
            process = subprocess.Popen(
                command, cwd=self.directory, env=environment() | dict(variables or {}), start_new_session=True,
                text=True, errors="replace", pass_fds=() if inherits is None else (inherits,),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
        except FileNotFoundError as error:
            raise ConfigurationError(
                "the docker command line is not installed", todo="install Docker with its compose plugin, version 2"
            ) from error
        with process:
            try:
                out, said = process.communicate(timeout=limit)
            except BaseException as error:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # the compose plugin is a child of the docker command
                _, said = process.communicate(timeout=_END_BUDGET)
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                raise ServiceError(
                    f"docker compose {arguments[0]} did not end within {limit:g} s; it said: {_tail(said)}",
                    where=f"compose project {self.name}",
                    todo="look whether the engine answers: docker info",
                ) from error
        return process.returncode, out, _tail(said)


def _tail(said: str) -> str:
    return said.strip()[-_TAIL:] or "nothing"
