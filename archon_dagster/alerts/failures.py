"""What Dagster knows and is worth an alert: failed runs and failed checks.

Each function makes the alert of one thing that is wrong; its incident is the *subject* of which the book makes an id.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from archon_dagster.alerts.alert import Alert, Severity
from archon_dagster.platform.settings import Settings

CHECKS = "check"
"""The source of the alerts about checks."""

SEVERITY_TAG = "archon/alert"
"""A job with this tag says how severe its failure is; one with ``none`` is never told of."""

_CRITICAL_JOBS = frozenset({"restore"})  # a platform that may be stopped, or half of one thing and half of another


@dataclass(frozen=True, slots=True)
class FailedRun:
    """A run that failed: its job, its error as it was raised, its tags."""

    job: str
    run_id: str
    error: str
    at: datetime
    tags: Mapping[str, str]
    link: str | None


def run_page(settings: Settings, run_id: str) -> str | None:
    """Where a run is seen in the UI, where one is known to be running."""
    return ui_page(settings, f"runs/{run_id}")


def ui_page(settings: Settings, path: str) -> str | None:
    """A page of the UI, where one is known to be running."""
    url = settings.webserver_url
    if url is None:
        try:
            url = str(json.loads((settings.home / "webserver.json").read_text())["url"])  # `archon up` notes it there
        except (OSError, ValueError, KeyError):
            return None
    return f"{url.rstrip('/')}/{path}"


def source_of(job: str) -> str:
    """The source of the alerts about a job's runs: while its newest run has failed, something is wrong with it."""
    return f"run/{job}"


def run_failed(run: FailedRun) -> Alert | None:
    """The alert about a failed run; ``None`` for a job that is not told of."""
    severity = severity_of(run.job, run.tags)
    if severity is None:
        return None
    what, tried, todo = parts_of(run.error)
    again = f"the run's page has the whole log; after it is mended, run it again: archon {run.job}"
    return Alert(
        incident=f"{source_of(run.job)}/failed",
        severity=severity,
        title=f"the job {run.job} failed",
        what=what,
        since=run.at,
        tried=(tried,) if tried else (),
        todo=(todo,) if todo else (again if run.job in ("backup", "restore") else "see the run's log",),
        link=run.link,
    )


def severity_of(job: str, tags: Mapping[str, str]) -> Severity | None:
    """How severe it is that a job failed: what its tag says, else by what it does."""
    said = tags.get(SEVERITY_TAG)
    if said == "none":
        return None
    known: dict[str, Severity] = {"info": "info", "warning": "warning", "critical": "critical"}
    return known.get(said or "", "critical" if job in _CRITICAL_JOBS else "warning")


def parts_of(error: str) -> tuple[str, str, str]:
    """The first line of an error (and the next, where it announces that), what was tried and what to do, as our own
    errors write them; of several errors in one text those of the first."""
    first, *rest = error.strip().splitlines() or ["it gives no reason"]
    if first.endswith(":") and rest:
        first = f"{first} {rest[0]}"
    return first, _said(rest, "tried:"), _said(rest, "what to do:")


def _said(lines: list[str], word: str) -> str:
    return next((line.removeprefix(word).strip() for line in lines if line.startswith(word)), "")


@dataclass(frozen=True, slots=True)
class FailedCheck:
    """A check of an asset whose newest result is a failure; ``since`` is the first failure after the last success."""

    asset: str
    check: str
    severity: Literal["warning", "error"]
    detail: str
    since: datetime
    failures: int
    backup: str | None
    link: str | None


def check_failed(check: FailedCheck) -> Alert:
    """The alert about a failed check, of a backup or of anything else that a run looks at."""
    of = f"of backup {check.backup}" if check.backup else f"of {check.asset}"
    kept = (
        f"the backup {of.removeprefix('of backup ')} was kept, and `latest` does not choose it" if check.backup else ""
    )
    again = f"it has failed {check.failures} times in a row" if check.failures > 1 else ""
    return Alert(
        incident=f"{CHECKS}/{check.asset}/{check.check}",
        severity="critical" if check.severity == "error" else "warning",
        title=f"the check {check.check} {of} failed",
        what=check.detail or "it gives no reason",
        since=check.since,
        tried=tuple(filter(None, (again, kept))),
        todo=_next_for(check),
        link=check.link,
    )


def _next_for(check: FailedCheck) -> tuple[str, ...]:
    group = check.asset.partition("/")[0]
    if check.backup or group == "backup":
        look = f"archon backups show {check.backup}" if check.backup else "archon backups"
        return f"see what is wrong: {look}", "find out why, then take another: archon backup"
    if group == "performance":
        return (
            "measure again, which says whether it is still so: archon performance",
            "if it has to be so: archon performance --accept-baseline",
        )
    return ("the run's page has the whole log; run it again after it is mended",)
