"""Make the platform's writers hold still, and never leave them frozen.

Pausing freezes a service between two instructions: for the seconds of a capture its clients wait and none sees an
error. A run that dies inside the pause must not leave the platform frozen, so four things let the writers go on:
the run itself; a guard process that notices when the run is gone or the limit has passed; and, should both have been
killed (a container dies as a whole), the health monitor and the next run, which read the note the pause left behind
(:func:`thaw_leftovers`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from archon_dagster.errors import ServiceError
from archon_dagster.platform import services
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.settings import Settings

GUARD_START_LIMIT = 20.0  # seconds the guard may take to be ready; nothing is paused before it is


@dataclass
class Pause:
    """Writers held still; :meth:`release` lets them go on, once."""

    runtime: Runtime
    paused: tuple[str, ...]
    note: Path
    held: bool = field(default=True, init=False)

    def release(self) -> None:
        """Let the writers go on; safe to call again, and with a writer that has died meanwhile."""
        if self.held and self.paused:
            unpause(self.runtime, self.paused)
            self.note.unlink(missing_ok=True)
        self.held = False


def running_writers(runtime: Runtime) -> tuple[str, ...]:
    """The services that write to a store and run now."""
    running = [status.service for status in runtime.status() if status.state == "running"]
    return tuple(service.name for service in services.writers(running))


@contextmanager
def paused_writers(settings: Settings, runtime: Runtime) -> Iterator[Pause]:
    """Pause every running writer for the block, at the longest for the setting ``ARCHON_BACKUP_PAUSE_LIMIT``."""
    names = running_writers(runtime)
    note = _note(settings)
    if not names:
        yield Pause(runtime, (), note)
        return
    with _guard(settings, names):
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(names))
        pause = Pause(runtime, names, note)
        try:
            runtime.pause(*names)
            yield pause
        finally:
            pause.release()


def held_since(settings: Settings) -> float | None:
    """When writers were paused that nobody has let go in the proper way, in seconds since 1970; ``None``: none were."""
    try:
        return _note(settings).stat().st_mtime
    except FileNotFoundError:
        return None


def thaw_leftovers(settings: Settings, runtime: Runtime) -> tuple[str, ...]:
    """Let writers go on that a killed run left paused; returns their names.

    Call it with the lock held, or when whoever paused them has lost it or may not hold them any longer.
    """
    note = _note(settings)
    try:
        names = set(json.loads(note.read_text()))
    except FileNotFoundError:
        return ()
    except ValueError:  # the run died while it wrote the note: take every paused writer
        names = set(runtime.services())
    writers = unpause(runtime, (service.name for service in services.writers(names)))
    note.unlink(missing_ok=True)
    return writers


def unpause(runtime: Runtime, names: Iterable[str]) -> tuple[str, ...]:
    """Let those of the named services go on that are paused; returns their names."""
    wanted = set(names)
    frozen = tuple(
        status.service for status in runtime.status() if status.state == "paused" and status.service in wanted
    )
    if frozen:
        runtime.unpause(*frozen)
    return frozen


def _note(settings: Settings) -> Path:
    return settings.home / "paused.json"


@contextmanager
def _guard(settings: Settings, names: tuple[str, ...]) -> Iterator[None]:
    """A process of its own that unpauses when this one is gone (its standard input ends) or the limit has passed."""
    environment = {**os.environ, "ARCHON_HOME": str(settings.home), "ARCHON_PROJECT_DIR": str(settings.project_dir)}
    command = [sys.executable, "-m", "archon_dagster.platform.thaw", str(settings.pause_limit), *names]
    guard = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,  # a signal to the run's group must not take the guard with it
    )
    assert guard.stdin is not None
    assert guard.stdout is not None
    try:
        _wait_until_ready(guard.stdout)
        yield
    finally:
        guard.stdin.close()
        try:
            guard.wait(GUARD_START_LIMIT)
        except subprocess.TimeoutExpired:
            guard.kill()
            guard.wait()
        guard.stdout.close()


def _wait_until_ready(stream: IO[bytes]) -> None:
    import select

    readable, _, _ = select.select([stream], [], [], GUARD_START_LIMIT)
    if not readable or not stream.readline().startswith(b"ready"):
        raise ServiceError(
            "the guard that would let paused writers go on did not start; nothing was paused",
            tried=f"waited {GUARD_START_LIMIT:.0f} s",
            todo="try again, or take the backup without pausing (quiesce: none)",
        )
