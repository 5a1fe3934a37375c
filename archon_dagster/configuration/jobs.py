"""The jobs ``validate_configuration``, ``update_configuration`` and ``undo_configuration``.

Their config names a file and never holds a value: what stands in the file would stay in Dagster's storage.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import dagster as dg
from pydantic import Field

from archon_dagster.configuration.apply import CLEANUP_LIMIT, ApplyRequest, Change, apply, undo
from archon_dagster.configuration.assets import materialization
from archon_dagster.configuration.context import ConfigurationContext, open_configuration, stop_on
from archon_dagster.configuration.history import History
from archon_dagster.configuration.live import ask_servers
from archon_dagster.configuration.summary import PROBLEM_COLUMNS, change_page, problem_rows
from archon_dagster.configuration.validation import Validation, validate_file
from archon_dagster.errors import ArchonError
from archon_dagster.platform.runtime.compose_project import is_project
from archon_dagster.platform.settings import Settings
from archon_dagster.resources import EXECUTOR, PLATFORM_POOL, Operations, failure_of, run_op, tell_result

_PATH = "The file; a relative path begins in the platform's project directory."


class ValidateConfig(dg.Config):
    """Which file to look at."""

    path: str = Field(description=_PATH)
    live: bool = Field(default=False, description="Also ask Ollama, Supabase and Qdrant, as the file names them.")


class UpdateConfig(dg.Config):
    """Which file to apply."""

    path: str = Field(description=_PATH)
    confirm: Literal["APPLY"] = Field(description="Type APPLY: running services are replaced.")
    offline: bool = Field(default=False, description="Do not ask the servers that the change concerns.")


class UndoConfig(dg.Config):
    """Undoing replaces running services too."""

    confirm: Literal["APPLY"] = Field(description="Type APPLY: running services are replaced.")


@dg.op(description="Look at one file, every problem at once; with `live`, ask the servers that it names.")
def look_at_file(context: dg.OpExecutionContext, config: ValidateConfig, operations: Operations) -> None:
    """Validate; see :mod:`archon_dagster.configuration.validation`."""

    def look(settings: Settings, cancel: threading.Event) -> Validation:
        found = validate_file(_in(settings, config.path), composed=is_project(settings.project_dir))
        if not config.live:
            return found
        return ask_servers(found, settings, check=lambda: stop_on(cancel, "the validation"))

    found = run_op(context, lambda cancel, _: look(operations.usable_settings(), cancel))
    for problem in found.problems:
        (context.log.error if problem.severity == "error" else context.log.warning)(problem.sentence)
    tell_result(context, found.headline)
    try:
        found.raise_for_errors()
    except ArchonError as error:
        raise failure_of(error, _shown(found)) from error
    context.add_output_metadata(_shown(found))


@dg.op(
    pool=PLATFORM_POOL,
    description="Validate, save, write in one step, replace the services that read what changed, look whether all "
    "is well; else back to exactly the file before.",
)
def apply_file(context: dg.OpExecutionContext, config: UpdateConfig, operations: Operations) -> None:
    """Apply a file; see :mod:`archon_dagster.configuration.apply`."""
    path = _in(operations.usable_settings(), config.path)
    _run(context, operations, lambda here: apply(here, ApplyRequest(path, config.confirm, config.offline)))


@dg.op(pool=PLATFORM_POOL, description="Go back to the file before the last change, in the same way.")
def go_back(context: dg.OpExecutionContext, config: UndoConfig, operations: Operations) -> None:
    """Undo; see :func:`archon_dagster.configuration.apply.undo`."""
    _run(context, operations, lambda here: undo(here, config.confirm))


@dg.job(
    name="validate_configuration",
    executor_def=EXECUTOR,
    tags={"dagster/max_runtime": "300"},
    description="Is a configuration file good? Looks at that file alone; `live` asks the servers that it names.",
)
def validate_configuration() -> None:
    """One op."""
    look_at_file()


@dg.job(
    name="update_configuration",
    executor_def=EXECUTOR,
    tags={"dagster/max_runtime": "7200", "dagster/priority": "2"},
    description=(
        "Make a file the platform's `.env`. `confirm: APPLY` has to be typed. What does not work out is taken back: "
        "exactly the file before, and services as well as they were."
    ),
)
def update_configuration() -> None:
    """One op: the steps share the lock."""
    apply_file()


@dg.job(
    name="undo_configuration",
    executor_def=EXECUTOR,
    tags={"dagster/max_runtime": "7200", "dagster/priority": "2"},
    description="Go back to the `.env` before the last change. `confirm: APPLY` has to be typed.",
)
def undo_configuration() -> None:
    """One op: the steps share the lock."""
    go_back()


def _in(settings: Settings, path: str) -> Path:
    """Never relative to the current directory: a daemon has another one than a shell."""
    return settings.project_dir / Path(path).expanduser()


def _run(
    context: dg.OpExecutionContext, operations: Operations, change: Callable[[ConfigurationContext], Change]
) -> None:
    """Change, and log what has come into the history, also where it failed."""
    settings = operations.usable_settings()
    history = History(settings.home)
    before = {one.id for one in history.all()}
    try:
        came = run_op(
            context,
            lambda cancel, report: change(
                open_configuration(settings, cancel, report, origin="dagster", reload=operations.usable_settings)
            ),
            cleanup_limit=CLEANUP_LIMIT,
        )
    finally:
        for record in reversed(history.all()):
            if record.id not in before:
                context.log_event(materialization(record))
    tell_result(context, came.headline)
    for problem in came.problems:
        context.log.warning(problem.sentence)
    context.add_output_metadata(
        {
            "summary": dg.MetadataValue.md(change_page(came)),
            "variables changed": len(came.difference.changes),
            "services replaced": len(came.replaced),
            "seconds": round(came.seconds, 3),
        }
    )


def _shown(found: Validation) -> dict[str, Any]:
    records = [dg.TableRecord({name: row[name] for name in PROBLEM_COLUMNS}) for row in problem_rows(found)]
    columns = [dg.TableColumn(name) for name in PROBLEM_COLUMNS]
    return {
        "summary": found.headline,
        "errors": len(found.errors),
        "warnings": len(found.problems) - len(found.errors),
        "problems": dg.MetadataValue.table(records, dg.TableSchema(columns)),
    }
