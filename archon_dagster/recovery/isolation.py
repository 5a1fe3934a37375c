"""Stop what does not matter in an emergency, and bring it back, whatever happens.

Who was stopped is noted in the home before they are. As long as the response is at work nobody takes them for failed or
starts them: not the recovery either, which is a part of it. A run that is killed leaves the note. The next response
brings them back, or before that the automatic recovery: once nobody responds any more, they are services that failed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from archon_dagster.health import windows
from archon_dagster.platform import whole_files
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.services import BY_NAME
from archon_dagster.platform.settings import Settings
from archon_dagster.recovery.book import Book

STOPPING = 300.0  # seconds from the note to the recovery: services are stopped then; after it somebody has the turn


@contextmanager
def isolated(settings: Settings, runtime: Runtime, say: Callable[[str], None]) -> Iterator[tuple[str, ...]]:
    """Stop the running services that do not matter for the block; they come back whatever happens in it."""
    names = dispensable(settings, runtime)
    if not names:
        yield ()
        return
    whole_files.replace(_note(settings.home), json.dumps(names).encode())
    say(f"stopping {', '.join(names)} to make room")
    try:
        runtime.stop(*names)
        yield names
    finally:
        back = bring_back(settings, runtime)
        say(f"started again: {', '.join(back) or 'nobody, they run already'}")


def dispensable(settings: Settings, runtime: Runtime) -> tuple[str, ...]:
    """The running services that do not matter in an emergency; not those on which somebody works."""
    running = [status.service for status in runtime.status() if status.state == "running"]
    held = windows.reasons(running, settings, time.time())
    return tuple(name for name in running if name in BY_NAME and not BY_NAME[name].essential and name not in held)


def bring_back(settings: Settings, runtime: Runtime) -> tuple[str, ...]:
    """Start what an isolation has stopped, this one's or one that was killed; which services that were.

    Who is in a maintenance window by now is left to whoever works there.
    """
    file = _note(settings.home)
    try:
        names = tuple(str(name) for name in json.loads(file.read_bytes()))
    except FileNotFoundError:
        return ()
    except (ValueError, TypeError):
        names = tuple(name for name in runtime.services() if name in BY_NAME and not BY_NAME[name].essential)
    held = windows.reasons(names, settings, time.time())
    there = tuple(name for name in names if name in runtime.services() and name not in held)
    if there:
        runtime.up(*there)
    file.unlink(missing_ok=True)
    return there


def stopped_on_purpose(home: Path, now: float | None = None) -> tuple[str, ...]:
    """The services that an isolation has stopped and brings back. :param now: seconds since 1970."""
    try:
        names = tuple(str(name) for name in json.loads(_note(home).read_bytes()))
        age = (time.time() if now is None else now) - _note(home).stat().st_mtime
    except (OSError, ValueError, TypeError):
        return ()
    return names if age < STOPPING or Book(home).at_work else ()


def _note(home: Path) -> Path:
    return home / "isolated.json"
