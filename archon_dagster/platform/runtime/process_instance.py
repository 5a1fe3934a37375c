"""One started process of a service, found again by every other process through its file.

``<services>/<service>/process.json`` holds pid and birth, so that a number the kernel has given away again is never
mistaken for the service. There is no supervisor that must live: whoever started a service may die, and it goes on.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from archon_dagster.errors import ServiceError
from archon_dagster.platform.runtime import process_limits
from archon_dagster.platform.runtime.identity import birth, lives
from archon_dagster.platform.runtime.process_spec import ProcessSpec, write_private
from archon_dagster.platform.runtime.process_tree import MARK

FILE_NAME = "process.json"
END_NAME = "end.json"
LOG_NAME = "log"
LOG_LIMIT = 10 * 2**20  # bytes; a longer log is set aside at the next start
_REAP_LIMIT = 5.0  # seconds for a line to be written
_REAPERS: dict[str, threading.Thread] = {}  # of the instances that this process has started, by mark


class Instance(BaseModel):
    """A process as it was started.

    :param spec: with the environment as it was read then: ``restart`` uses it again.
    :param mark: names this instance in the environment of all its processes.
    :param exit_code: of the end, where somebody saw it.
    """

    model_config = ConfigDict(frozen=True)

    pid: int
    born: str
    started: datetime
    mark: str
    spec: ProcessSpec
    exit_code: int | None = None

    def lives(self) -> bool:
        return lives(self.pid, self.born)


def read_instance(directory: Path) -> Instance | None:
    """The instance last started, living or not; ``None`` if there is none or its file is not readable as one.

    A file that a crash left half written says nothing worth keeping; the process it was about carries its mark.
    """
    try:
        instance = Instance.model_validate_json((directory / FILE_NAME).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return instance.model_copy(update={"exit_code": _exit_code(directory, instance.mark)})


def _write(directory: Path, instance: Instance) -> None:
    write_private(directory / FILE_NAME, instance.model_dump_json(indent=2) + "\n")


def launch(directory: Path, service: str, spec: ProcessSpec) -> Instance:
    """Start a service in a session of its own, its output in its log; returns once the program is running."""
    mark = uuid.uuid4().hex
    _rotate(directory / LOG_NAME)
    log = os.open(directory / LOG_NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    user, group = spec.user or (None, None)
    try:
        process = subprocess.Popen(
            spec.command, env=spec.environment() | {MARK: mark}, cwd=spec.cwd, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            user=user, group=group, extra_groups=None if user is None else [])  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise ServiceError(f"{service} could not be started: {error}", where=spec.command[0]) from error
    finally:
        os.close(log)
    process_limits.apply(process.pid, spec.limits)
    instance = Instance(
        pid=process.pid, born=birth(process.pid) or "", started=datetime.now(UTC), mark=mark, spec=spec)  # fmt: skip
    _write(directory, instance)
    _reap(process, directory, instance)
    return instance


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_suffix(".1"))


def _reap(process: subprocess.Popen[bytes], directory: Path, instance: Instance) -> None:
    """As long as we, the parent, live: take the exit code the moment the process ends, and leave no zombie."""

    def wait() -> None:
        code = process.wait()
        with suppress(FileNotFoundError):  # the whole directory may have been removed with the sandbox
            record_end(directory, instance, code)
        _REAPERS.pop(instance.mark, None)

    reaper = threading.Thread(target=wait, name=f"reaper of {instance.pid}", daemon=True)
    _REAPERS[instance.mark] = reaper
    reaper.start()


def record_end(directory: Path, instance: Instance, exit_code: int) -> None:
    """Note how an instance ended.

    In a file of its own, with the instance's mark: whoever saw the end may be late, and must neither overwrite the
    record of the next instance nor bring back one that has been removed.
    """
    write_private(directory / END_NAME, json.dumps({"mark": instance.mark, "exit_code": exit_code}) + "\n")


def _exit_code(directory: Path, mark: str) -> int | None:
    try:
        end = json.loads((directory / END_NAME).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return int(end["exit_code"]) if end.get("mark") == mark else None


def forget(directory: Path) -> None:
    """Remove the record of an instance that is gone."""
    (directory / FILE_NAME).unlink(missing_ok=True)
    (directory / END_NAME).unlink(missing_ok=True)


def tail(log: Path, lines: int) -> str:
    """The last lines of a log without reading all of it."""
    if lines <= 0 or not log.exists():
        return ""
    with log.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - lines * 1000))
        text = stream.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-lines:])


def wait_ended(instance: Instance, budget: float) -> bool:
    """Wait until an instance's own process has ended, and nobody here will write its end down any more."""
    end = time.monotonic() + budget
    while instance.lives():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    if (reaper := _REAPERS.get(instance.mark)) is not None:
        reaper.join(_REAP_LIMIT)
    return True
