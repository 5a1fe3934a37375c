"""Run an operation in this process, without Dagster: news on the terminal, Ctrl-C cleans up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from archon_dagster.cancelling import run_cancellable
from archon_dagster.cli.output import problems
from archon_dagster.cli.progress import News
from archon_dagster.context import OnNews, OperationContext, open_context
from archon_dagster.errors import ArchonError, Cancelled, RestoreFailed
from archon_dagster.platform.settings import Settings

T = TypeVar("T")
_UNDONE = "interrupted: what was begun has been removed, and what was held still goes on"


def run_here(
    settings: Settings,
    operation: Callable[[OperationContext], T],
    *,
    quiet: bool = False,
    cleanup_limit: float = 60.0,
    live: bool = True,
) -> T:
    """Run an operation on the whole context; the repository is opened, its configuration read."""

    def work(cancel: threading.Event, news: OnNews) -> T:
        return operation(open_context(settings, cancel=cancel, report=news, live=live))

    return run_interruptible(work, quiet=quiet, cleanup_limit=cleanup_limit, undone=_UNDONE)


def run_interruptible(
    work: Callable[[threading.Event, OnNews], T],
    *,
    quiet: bool = False,
    cleanup_limit: float = 60.0,
    undone: str = "",
) -> T:
    """Work here until it ends or Ctrl-C; progress goes to standard error so that standard output stays clean.

    :param work: is given the event that cancels it, and what to tell its steps to.
    :param cleanup_limit: seconds interrupted work may take to clean up.
    :param undone: said after an interrupt that was heeded: what has become of what was begun.
    """
    cancel = threading.Event()
    failures: list[ArchonError] = []

    def kept() -> T:
        try:
            return work(cancel, news)
        except ArchonError as error:
            failures.append(error)  # after an interrupt it tells what was cleaned up
            raise

    with News(problems, quiet=quiet) as news:
        try:
            return run_cancellable(kept, cancel, cleanup_limit=cleanup_limit)
        except KeyboardInterrupt as interrupt:
            raise _interrupted(failures, cleanup_limit, undone) from interrupt


def _interrupted(failures: list[ArchonError], limit: float, undone: str) -> ArchonError:
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
    if undone:
        problems.print(undone)
    if isinstance(failure, Cancelled):
        return failure
    return Cancelled("cancelled on request", tried=f"it ended with: {failure.what}", todo="start it again")
