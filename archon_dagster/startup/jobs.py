"""The jobs ``startup`` and ``cold_start``."""

from collections.abc import Callable
from typing import Any, Literal

import dagster as dg
from pydantic import Field

from archon_dagster.errors import ArchonError
from archon_dagster.resources import EXECUTOR, PLATFORM_POOL, Operations, failure_of, run_op, tell_result
from archon_dagster.startup.cold_start import ColdStartRequest, cold_start
from archon_dagster.startup.context import StartContext, open_start
from archon_dagster.startup.platform import StartRequest, start_platform
from archon_dagster.startup.report import Report
from archon_dagster.startup.summary import COLUMNS, page, rows, start_numbers

CLEANUP_LIMIT = 150.0  # seconds: a cold start that is terminated while it stops a database waits for that
_ACCEPT = "It is right that a store holds fewer records than before."


class StartConfig(dg.Config):
    """What to start. The defaults start everything that does not run."""

    services: list[str] = Field(default=[], description="Just these and what they need; empty: all services.")
    accept_counts: bool = Field(default=False, description=_ACCEPT)

    def request(self) -> StartRequest:
        """The same, for the logic."""
        return StartRequest(tuple(self.services), self.accept_counts)


class ColdStartConfig(dg.Config):
    """A cold start takes the whole platform down first."""

    confirm: Literal["COLD-START"] = Field(description="Type COLD-START: the platform goes down.")
    pull: bool = Field(default=False, description="Fetch the images of the configuration first, before anything stops.")
    despite_externals: bool = Field(default=False, description="Go on although Ollama or Supabase is not well.")
    accept_counts: bool = Field(default=False, description=_ACCEPT)

    def request(self) -> ColdStartRequest:
        """The same, for the logic."""
        return ColdStartRequest(self.confirm, self.pull, self.despite_externals, self.accept_counts)


@dg.op(
    pool=PLATFORM_POOL,
    description="Start what does not run, each service when what it needs is ready; then compare counts and test.",
)
def start_services(context: dg.OpExecutionContext, config: StartConfig, operations: Operations) -> None:
    """Start the platform; see :mod:`archon_dagster.startup.platform` for the order."""
    _run(context, operations, lambda here: start_platform(here, config.request()))


@dg.op(
    pool=PLATFORM_POOL,
    description="Check Ollama and Supabase, take this project's services down, start them, compare counts, test.",
)
def start_from_nothing(context: dg.OpExecutionContext, config: ColdStartConfig, operations: Operations) -> None:
    """Take the platform down and start it; see :mod:`archon_dagster.startup.cold_start` for the order."""
    _run(context, operations, lambda here: cold_start(here, config.request()))


@dg.job(
    name="startup",
    executor_def=EXECUTOR,
    tags={"dagster/max_runtime": "3600", "dagster/priority": "5"},
    description=(
        "Start the platform. Launch it as it is: what runs and is ready is left alone. Fails naming the service, its "
        "last answer and its last log lines; a store that came up without its data is an error too."
    ),
)
def startup_job() -> None:
    """One op: services start side by side inside it."""
    start_services()


@dg.job(
    name="cold_start",
    executor_def=EXECUTOR,
    tags={"dagster/max_runtime": "7200", "dagster/priority": "5"},
    description=(
        "Take the platform down and start it. `confirm: COLD-START` has to be typed. Ollama and Supabase are checked "
        "before anything goes down; data and volumes stay."
    ),
)
def cold_start_job() -> None:
    """One op: the steps share the lock."""
    start_from_nothing()


def _run(context: dg.OpExecutionContext, operations: Operations, start: Callable[[StartContext], Report]) -> None:
    """Start, and show what came of it, also where it failed.

    Not ``operations.run``: that opens the backup repository, and a start must be possible while that is away.
    """
    came = run_op(
        context,
        lambda cancel, report: start(open_start(operations.settings(), cancel, report)),
        cleanup_limit=CLEANUP_LIMIT,
    )
    tell_result(context, came.headline)
    try:
        came.raise_for_failure()
    except ArchonError as error:
        raise failure_of(error, _metadata(came)) from error
    context.add_output_metadata(_metadata(came))


def _metadata(report: Report) -> dict[str, Any]:
    records = [dg.TableRecord({column: row[column] for column in COLUMNS}) for row in rows(report)]
    return {
        "summary": dg.MetadataValue.md(page(report)),
        "services": dg.MetadataValue.table(records),
        **start_numbers(report),
    }
