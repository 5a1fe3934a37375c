"""Run a Dagster job from the shell: on the running webserver, else in this process on the same instance.

Either way the run is recorded and shows in the UI. An error keeps its kind through Dagster, and so its exit code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from archon_dagster import errors
from archon_dagster.cli import webserver
from archon_dagster.cli.following import follow, reason_of
from archon_dagster.cli.instance import open_instance, prepare
from archon_dagster.cli.output import console, plain, print_json, problems
from archon_dagster.cli.progress import RunLines
from archon_dagster.cli.signals import noted_signals, signals_held_back
from archon_dagster.errors import ArchonError, Cancelled
from archon_dagster.platform.settings import Settings

BUDGET = 86_400.0  # seconds a run is followed at most


@dataclass(frozen=True)
class Outcome:
    """A finished run: where it can be seen, the backup it made or restored, the safety backup of a restore, and what
    came of it in a sentence, where its job says that."""

    run_id: str
    backup: str | None
    url: str | None = None
    safety: str | None = None
    result: str | None = None


def submit(settings: Settings, job: str, config: dict[str, Any], *, as_json: bool) -> None:
    """Run a job to its end as :func:`run_job`, and say what came of it: its news go to standard error."""
    with RunLines(problems, quiet=as_json) as lines:
        outcome = run_job(settings, job, config, lines)
    if as_json:
        print_json(outcome)
        return
    for said in (outcome.result or "done", f"run: {outcome.url or outcome.run_id}"):
        console.print(plain(said), highlight=False, soft_wrap=True)


def run_job(settings: Settings, job: str, config: dict[str, Any], on_line: Callable[[str], None]) -> Outcome:
    """Run a job to its end; raises :class:`ArchonError` with the run's own message when it failed."""
    url = webserver.running_webserver(settings)
    if url is None:
        return _in_process(settings, job, config, on_line)
    run_id = webserver.launch(url, job, config)
    page = webserver.page(url, run_id)
    on_line(f"run {page}")
    run = follow(settings, url, run_id, on_line, BUDGET)
    if run.status != "SUCCESS":
        raise _error(run.kind, f"the job {job} ended as {run.status}: {run.error or 'see its log'}", page)
    return _outcome(run.id, run.tags, page)


def _in_process(settings: Settings, job: str, config: dict[str, Any], on_line: Callable[[str], None]) -> Outcome:
    with signals_held_back():  # all of Dagster is imported: seconds
        prepare(settings)
        from archon_dagster.definitions import defs
        from archon_dagster.resources import NEWS

    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}  # the run's log is in the UI
    token = NEWS.set(on_line)
    try:
        with open_instance(settings) as instance, noted_signals() as interrupted:
            result = defs.resolve_job_def(job).execute_in_process(
                run_config={**config, **quiet}, instance=instance, raise_on_error=False
            )
            run = instance.get_run_by_id(result.run_id)
            unheard = result.success and interrupted()
    finally:
        NEWS.reset(token)
    if not result.success:
        reason, kind = reason_of(iter(result.all_events))
        raise _error(kind, f"the job {job} failed: {reason or 'see its log'}", f"run {result.run_id}")
    if unheard:
        raise Cancelled(
            f"interrupted, but the job {job} had come to its end", where=f"run {result.run_id}", todo="archon status"
        )
    return _outcome(result.run_id, run.tags if run else {}, None)


def _outcome(run_id: str, tags: Mapping[str, str], url: str | None) -> Outcome:
    return Outcome(run_id, tags.get("archon/backup"), url, tags.get("archon/safety"), tags.get("archon/result"))


def _error(kind: str, text: str, where: str) -> ArchonError:
    """The error as it was raised inside the run, so that it has the same exit code."""
    found = getattr(errors, kind, ArchonError) if kind else ArchonError
    what, _, todo = text.partition("\nwhat to do: ")
    what, _, tried = what.partition("\ntried: ")
    return found(what, where=where, tried=tried or None, todo=todo or None)
