"""Run a Dagster job from the shell: on the running webserver, else in this process on the same instance.

Either way the run is recorded and shows in the UI. An error keeps its kind through Dagster, and so its exit code.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from archon_dagster.cli import webserver
from archon_dagster.cli.instance import open_instance, prepare
from archon_dagster.errors import ArchonError
from archon_dagster.platform.settings import Settings

BUDGET = 86_400.0  # seconds a run is followed at most


@dataclass(frozen=True)
class Outcome:
    """A finished run: where it can be seen, and the backup it made or restored."""

    run_id: str
    backup: str | None
    url: str | None = None


def run_job(settings: Settings, job: str, config: dict[str, Any], on_line: Callable[[str], None]) -> Outcome:
    """Run a job to its end; raises :class:`ArchonError` with the run's own message when it failed."""
    url = webserver.running_webserver(settings)
    if url is not None:
        run = webserver.submit(url, job, config, on_line=on_line, budget=BUDGET)
        page = f"{url}/runs/{run.id}"
        if run.status != "SUCCESS":
            raise ArchonError(f"the job {job} ended as {run.status}: {run.error or 'see its log'}", where=page)
        return Outcome(run.id, run.tags.get("archon/backup"), page)
    return _in_process(settings, job, config, on_line)


def _in_process(settings: Settings, job: str, config: dict[str, Any], on_line: Callable[[str], None]) -> Outcome:
    prepare(settings)
    from archon_dagster.definitions import defs

    with open_instance(settings) as instance, _log_lines(on_line):
        result = defs.resolve_job_def(job).execute_in_process(
            run_config=config, instance=instance, raise_on_error=False
        )
        if not result.success:
            raise ArchonError(f"the job {job} failed: {_reason(result)}", where=f"run {result.run_id}")
        run = instance.get_run_by_id(result.run_id)
    return Outcome(result.run_id, run.tags.get("archon/backup") if run else None)


def _reason(result: Any) -> str:
    for event in result.all_events:
        if event.is_step_failure:
            failure = event.step_failure_data
            if failure.user_failure_data and failure.user_failure_data.description:
                return str(failure.user_failure_data.description)
            if failure.error:
                return str(failure.error.message)
    return "see its log"


class _log_lines:
    """Hand the run's own log lines to the caller, and keep Dagster's debug chatter off the terminal."""

    def __init__(self, on_line: Callable[[str], None]):
        self.handler = _Lines(on_line)

    def __enter__(self) -> None:
        self.logger = logging.getLogger("dagster")
        self.before = (self.logger.handlers[:], self.logger.level, self.logger.propagate)
        self.logger.handlers, self.logger.propagate = [self.handler], False

    def __exit__(self, *exc: object) -> None:
        self.logger.handlers, _, self.logger.propagate = self.before


class _Lines(logging.Handler):
    def __init__(self, on_line: Callable[[str], None]):
        super().__init__(logging.INFO)
        self.on_line = on_line

    def emit(self, record: logging.LogRecord) -> None:
        meta = getattr(record, "dagster_meta", None) or {}
        if not meta.get("dagster_event"):
            self.on_line(str(meta.get("orig_message") or record.getMessage()))
