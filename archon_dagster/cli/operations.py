"""Run an operation in this process, without Dagster: news on the terminal, Ctrl-C cleans up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from archon_dagster.cancelling import run_cancellable
from archon_dagster.cli.output import problems
from archon_dagster.cli.progress import News
from archon_dagster.context import OperationContext, open_context
from archon_dagster.errors import ArchonError, Cancelled, RestoreFailed
from archon_dagster.platform.settings import Settings

T = TypeVar("T")


def run_here(
    settings: Settings,
    operation: Callable[[OperationContext], T],
    *,
    quiet: bool = False,
    cleanup_limit: float = 60.0,
    live: bool = True,
) -> T:
    """Run an operation directly; progress goes to standard error so that standard output stays clean."""
    cancel = threading.Event()
    failures: list[ArchonError] = []

    def work() -> T:
        try:
            return operation(open_context(settings, cancel=cancel, report=news, live=live))
        except ArchonError as error:
            failures.append(error)  # after an interrupt it tells what was cleaned up
            raise

    with News(problems, quiet=quiet) as news:
        try:
            return run_cancellable(work, cancel, cleanup_limit=cleanup_limit)
        except KeyboardInterrupt as interrupt:
            raise _interrupted(failures, cleanup_limit) from interrupt


def _interrupted(failures: list[ArchonError], limit: float) -> ArchonError:
    """What an interrupt came to, in the operation's own words where it has any."""
    if not failures:
        return Cancelled(
            "interrupted",
            tried=f"it was at its end already, or did not clean up within {limit:g} s",
            todo="see what is there: archon status, archon backups",
        )
    failure = failures[0]
    if isinstance(failure, RestoreFailed):
        return failure  # the data were not put back: that is more than an interrupt
    problems.print("interrupted: what was begun has been removed, and what was held still goes on")
    if isinstance(failure, Cancelled):
        return failure
    return Cancelled("cancelled on request", tried=f"it ended with: {failure.what}", todo="start it again")
