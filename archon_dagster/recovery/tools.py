"""Everything a recovery works with, made from the settings; and who works on one, so that a killed one is noticed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from archon_dagster.context import OperationContext
from archon_dagster.platform import automation, whole_files
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.settings import Settings
from archon_dagster.recovery.actions import Hands
from archon_dagster.recovery.book import Book
from archon_dagster.recovery.hands_off import left_alone
from archon_dagster.recovery.looking import fresh
from archon_dagster.recovery.policy import Policy, policy_of
from archon_dagster.recovery.recover import Recovery
from archon_dagster.repository.identity import Process, certainly_dead, this_process


def recovery_of(
    settings: Settings,
    runtime: Runtime,
    cancel: threading.Event,
    *,
    open_context: Callable[[], OperationContext] | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Recovery:
    """What is needed to recover the platform of these settings."""
    book = Book(settings.home)
    hands = Hands(
        settings,
        runtime,
        book.evidence,
        cancel,
        open_context,
        left_alone=lambda now: left_alone(settings, now.timestamp()),
    )
    return Recovery(
        book=book,
        hands=hands,
        look=lambda: fresh(settings, runtime),
        policy=lambda: policy_now(settings, datetime.now(UTC)),
        wait=lambda seconds: _wait(cancel, seconds),
        patience=settings.recovery_patience,
        relapse=settings.recovery_relapse,
        tell=tell,
    )


def policy_now(settings: Settings, now: datetime) -> Policy:
    """The policy, with the switch as it is at this moment."""
    pause = automation.paused(settings.home, now)
    return policy_of(settings, str(pause) if pause else "")


def _wait(cancel: threading.Event, seconds: float) -> None:
    cancel.wait(seconds)


class Worker(BaseModel):
    """The process that works, or last worked, on an incident; and the run it belongs to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str
    process: Process

    @property
    def is_dead(self) -> bool:
        """Whether that process is certainly gone.

        Of one in another container nothing is known here, so it is not: there Dagster sees that a run has ended.
        """
        return certainly_dead(self.process)


@dataclass(frozen=True, slots=True)
class WorkerFile:
    """Where the worker is written down, for whoever wonders whether a run is dead."""

    home: Path

    @property
    def path(self) -> Path:
        return self.home / "incidents" / "worker.json"

    def sign(self, run: str) -> None:
        """This process works for that run."""
        worker = Worker(run=run, process=this_process())
        whole_files.replace(self.path, worker.model_dump_json().encode())

    def read(self) -> Worker | None:
        """Who it was; ``None`` where nobody was, or nobody can tell."""
        try:
            return Worker.model_validate_json(self.path.read_bytes())
        except (OSError, ValidationError):
            return None
