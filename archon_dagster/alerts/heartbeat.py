"""The dead-man's heartbeat: as long as it is heard, the control plane lives, its sensors run, and its monitor looks.

A machine that is down cannot say so. A service elsewhere (healthchecks.io, Uptime Kuma, Dead Man's Snitch, …) expects
a GET of ``ARCHON_HEARTBEAT_URL`` every ``ARCHON_HEARTBEAT_INTERVAL`` seconds, and tells somebody when it stays away.
The address is a secret: whoever knows it can keep up the appearance of life.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from pydantic import SecretStr

from archon_dagster.alerts.channels import scrub
from archon_dagster.alerts.delivery import Outcome, run
from archon_dagster.alerts.record import Beat, RecordFile

LIMIT = 15.0  # seconds one beat may take
NOT_CONFIGURED = "no heartbeat: set ARCHON_HEARTBEAT_URL (docs/alerts.md)"


def due(beat: Beat | None, now: datetime, interval: float) -> bool:
    """Whether it is time: the interval has passed since the last answer, or the last attempt failed or was not made."""
    if beat is None or beat.answered is None or beat.error or beat.held:
        return True
    return not 0 <= (now - beat.answered).total_seconds() < interval


def beat(url: SecretStr, file: RecordFile, now: datetime, limit: float = LIMIT) -> Outcome:
    """Beat once and note how it went."""
    if not url.get_secret_value().startswith(("http://", "https://")):
        outcome = Outcome(False, "ARCHON_HEARTBEAT_URL does not begin with http:// or https://", final=True)
    else:
        said = run({"do": "beat", "url": url.get_secret_value()}, limit)
        outcome = Outcome(said.ok, scrub(said.why, url), said.final)
    file.change(lambda record: (replace(record, beat=_noted(record.beat, now, outcome)), None))
    return outcome


def hold(file: RecordFile, now: datetime, why: str) -> None:
    """Note why the heart does not beat although it is time."""
    file.change(lambda record: (replace(record, beat=_held(record.beat, now, why)), None))


def _held(before: Beat | None, now: datetime, why: str) -> Beat:
    return Beat(now, before.answered if before else None, held=why)


def _noted(before: Beat | None, now: datetime, outcome: Outcome) -> Beat:
    answered = now if outcome.ok else before.answered if before else None
    return Beat(now, answered, "" if outcome.ok else outcome.why)
