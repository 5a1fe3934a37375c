"""Dagster's way to the operation context: one resource, built anew in every run.

It holds no value of its own: the settings come from the environment when a run starts, so no address or secret ever
stands in Dagster's repository snapshot, in a run's config or in its event log.
"""

import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar

import dagster as dg

from archon_dagster.cancelling import run_cancellable
from archon_dagster.context import OnNews, OperationContext, Step, open_context
from archon_dagster.errors import ArchonError, ConfigurationError
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.platform.usable_settings import usable_settings
from archon_dagster.stores.base import Progress

T = TypeVar("T")

PLATFORM_POOL = "platform"
"""The concurrency pool (limit 1) of everything that changes the platform."""

NEWS: ContextVar[Callable[[str], None]] = ContextVar("NEWS")
"""Where a run inside this process also tells its steps: the terminal of ``archon backup`` without a webserver."""

RESULT = "archon/result"
"""The tag of a run that says what came of it."""

EXECUTOR = dg.in_process_executor
"""Every job's executor: parallelism belongs inside an op; a process per step costs seconds and breaks cancelling."""


def _silent(_: str) -> None: ...


class Operations(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Builds the operation context of the platform that the environment describes."""

    def settings(self) -> Settings:
        """The settings as they are now."""
        return load_settings()

    def usable_settings(self) -> Settings:
        """The same, where the platform's ``.env`` has been spoilt without what is wrong in it: to mend that file."""
        try:
            return self.settings()
        except ConfigurationError:
            return usable_settings()

    def open(self, cancel: threading.Event, report: OnNews) -> OperationContext:
        """The context of one run; the seam for tests that bring a platform of their own."""
        return open_context(self.settings(), cancel=cancel, report=report)

    def run(
        self,
        context: dg.OpExecutionContext | dg.AssetExecutionContext,
        operation: Callable[[OperationContext], T],
        *,
        cleanup_limit: float = 50.0,
    ) -> T:
        """Run an operation so that terminating the run stops it cleanly; its steps go to the run's log.

        :param cleanup_limit: seconds a terminated operation may take to clean up (a restore puts data back).
        """
        return run_op(context, lambda cancel, report: operation(self.open(cancel, report)), cleanup_limit=cleanup_limit)


def run_op(
    context: dg.OpExecutionContext | dg.AssetExecutionContext,
    work: Callable[[threading.Event, OnNews], T],
    *,
    cleanup_limit: float = 50.0,
) -> T:
    """Work so that terminating the run stops it cleanly; its steps go to the run's log.

    :param work: is given the event that cancels it, and what to tell its steps to.
    :param cleanup_limit: seconds terminated work may take to clean up.
    :raises dagster.Failure: for any :class:`ArchonError`.
    """
    cancel, tell = threading.Event(), NEWS.get(_silent)

    def report(news: Step | Progress) -> None:
        if isinstance(news, Step):
            (context.log.warning if news.failed else context.log.info)(news.line)
            tell(news.line)

    try:
        return run_cancellable(lambda: work(cancel, report), cancel, cleanup_limit=cleanup_limit)
    except ArchonError as error:
        raise failure_of(error) from error


def tell_result(context: dg.OpExecutionContext, result: str) -> None:
    """What came of the run, in a sentence: a tag, so that it stands in the UI's list and the shell can say it too."""
    context.instance.add_run_tags(context.run_id, {RESULT: result})


def failure_of(error: ArchonError, metadata: Mapping[str, Any] | None = None) -> dg.Failure:
    """An error as Dagster shows it; nothing here gets better by trying the same again at once."""
    shown = {"kind": type(error).__name__, **(metadata or {})}
    return dg.Failure(description=str(error), metadata=shown, allow_retries=False)
