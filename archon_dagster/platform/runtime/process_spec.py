"""What to run for one service of the processes runtime, as a file.

``<services>/<service>/spec.json`` is written by whoever assembles the platform (the sandbox) and only read here.
Secrets do not belong in ``command``, which everybody on the machine can see.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform import whole_files
from archon_dagster.platform.limits import Resources

FILE_NAME = "spec.json"

_NOT_INHERITED = ("QDRANT__", "PG", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS")
"""Variables of the caller's shell that would silently configure a server differently from one shell to the next."""


PORT = "{port}"
"""Stands for a replica's port in its command."""


class Replication(BaseModel):
    """How a service runs more than once.

    :param command: of one replica; :data:`PORT` in it stands for the port it is given.
    :param balancer: of the program that has the service's own port then, and shares its connections out; see
        :mod:`archon_dagster.platform.runtime.process_scale` for what it reads and writes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: list[str] = Field(min_length=1)
    balancer: list[str] = Field(min_length=1)


class ProcessSpec(BaseModel):
    """One service as a command.

    :param command: program and arguments.
    :param env: variables of the service, on top of what the caller's environment gives.
    :param env_files: ``.env`` files whose variables it gets too; read again by ``recreate``, not by ``restart``.
    :param exec_env: further variables for commands run in the service (``PGHOST``…).
    :param path: directories of the service's own programs.
    :param cwd: working directory.
    :param user: uid and gid to run under; ``None``: the caller's.
    :param stop_signal: what asks this program to stop (SIGTERM makes PostgreSQL wait for its clients).
    :param program: the executable behind any wrapper; lets workers that have lost their parent be recognised.
    :param version: what the service is made of, for people.
    :param replication: how it runs more than once; ``None``: it cannot.
    :param limits: what it may use; ``None``: all there is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: list[str] = Field(min_length=1)
    env: dict[str, str] = {}
    env_files: list[Path] = []
    exec_env: dict[str, str] = {}
    path: list[Path] = []
    cwd: Path
    user: tuple[int, int] | None = None
    stop_signal: int = int(signal.SIGTERM)
    program: Path | None = None
    version: str = ""
    replication: Replication | None = None
    limits: Resources | None = None

    def resolved(self) -> ProcessSpec:
        """The same with the variables of its files read in; a variable named in ``env`` wins over the files."""
        found: dict[str, str] = {}
        for file in self.env_files:
            if not file.is_file():
                raise ConfigurationError("an environment file of a service is missing", where=str(file))
            found |= {key: value for key, value in dotenv_values(file).items() if value is not None}
        return self.model_copy(update={"env": found | self.env, "env_files": []})

    def environment(self) -> dict[str, str]:
        """The whole environment of a process of this service."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(_NOT_INHERITED)}
        search = os.pathsep.join([*map(str, self.path), inherited.get("PATH", os.defpath)])
        return inherited | {"PATH": search} | self.env


def read_spec(directory: Path) -> ProcessSpec:
    """The specification in a service's directory; raises :class:`ConfigurationError` naming what is wrong in it."""
    file = directory / FILE_NAME
    try:
        return ProcessSpec.model_validate_json(file.read_bytes())
    except OSError as error:
        raise ConfigurationError("a service's specification cannot be read", where=str(file)) from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise ConfigurationError(f"a service's specification is not usable: {wrong}", where=str(file)) from None


def write_spec(directory: Path, spec: ProcessSpec) -> None:
    """Put a specification where the runtime finds it; readable by the owner only, for it may hold secrets."""
    directory.mkdir(parents=True, exist_ok=True)
    write_private(directory / FILE_NAME, json.dumps(spec.model_dump(mode="json"), indent=2) + "\n")


def write_private(file: Path, text: str) -> None:
    """Replace a file in one step by one that only its owner can read; several may do so at once, the last one wins."""
    whole_files.replace(file, text.encode())
