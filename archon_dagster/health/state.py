"""What the monitor knows from one tick to the next, so that a restarted daemon goes on where the old one was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from archon_dagster.health.evaluation import ServiceState
from archon_dagster.health.knowledge import Knowledge
from archon_dagster.platform.whole_files import read, write


@dataclass(frozen=True, slots=True)
class MonitorState:
    """All of it. Times are seconds since the epoch.

    :param at: the end of the last tick. :param heartbeats: when each service was last reported without a change.
    :param sequence: of the last event.
    :param causes: for each service that is not well, the root causes outside of it.
    :param left_out: services that are not asked, with the reason.
    :param unexamined: of the vectors: what the last round found out nothing about, in words; empty: it saw everything.
    """

    at: float = 0.0
    sequence: int = 0
    services: Mapping[str, ServiceState] = field(default_factory=dict)
    causes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    heartbeats: Mapping[str, float] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    known: Knowledge = field(default_factory=Knowledge)
    unexamined: str = ""


_FILE: TypeAdapter[MonitorState] = TypeAdapter(MonitorState)


def path(home: Path) -> Path:
    """Where it is kept."""
    return home / "health" / "monitor.json"


def load(home: Path) -> MonitorState:
    """What was known last; nothing on a new home, or where the file is damaged."""
    return read(path(home), _FILE) or MonitorState()


def save(home: Path, state: MonitorState) -> None:
    """Keep it, in one step."""
    write(path(home), _FILE, state)
