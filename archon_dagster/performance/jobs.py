"""The jobs ``performance_report`` and ``apply_performance_tuning``."""

from collections.abc import Sequence
from typing import Any, Literal

import dagster as dg
from pydantic import Field

from archon_dagster.context import OperationContext
from archon_dagster.performance.checks import GROUP
from archon_dagster.performance.tuning import docker, qdrant
from archon_dagster.performance.tuning.journal import Tuned
from archon_dagster.performance.tuning.planning import TuneRequest
from archon_dagster.performance.tuning.summary import (
    COLUMNS,
    EFFECTS,
    change_rows,
    effect_rows,
    plan_notes,
    proposal_lines,
)
from archon_dagster.resources import EXECUTOR, PLATFORM_POOL, Operations, tell_result

performance_report_job = dg.define_asset_job(
    "performance_report",
    selection=dg.AssetSelection.groups(GROUP),
    executor_def=EXECUTOR,
    tags={"dagster/max_runtime": "3600"},
    description=(
        "How fast is the platform, and is it slower than it was? Launch it as it is: it asks, one question at a time "
        "and within bounds, and changes nothing. What is worse than the baseline is a failed check, not a failed run."
    ),
)
"""On demand; the weekly maintenance renews the baseline."""


class TuningConfig(dg.Config):
    """What to tune; the default only tells what would be done."""

    action: Literal["plan", "apply", "undo"] = Field(
        default="plan",
        description="plan: only tell; apply: do it; undo: put back what was there before the last change.",
    )
    target: Literal["qdrant", "docker"] = Field(
        default="qdrant", description="docker: only ever a proposal in a file; nothing is applied or restarted."
    )
    settings: list[str] = Field(default=[], description="NAME=VALUE each; empty: the recommended ones.")
    collections: list[str] = Field(default=[], description="Empty: the platform's own ones.")

    def request(self) -> TuneRequest:
        """The same, for the logic."""
        return TuneRequest(tuple(self.settings), tuple(self.collections))


@dg.op(
    pool=PLATFORM_POOL,
    description="Measure, change, read back, see whether a service undoes it, measure again; or undo; or only tell.",
)
def tune(context: dg.OpExecutionContext, config: TuningConfig, operations: Operations) -> None:
    """Tune; see :mod:`archon_dagster.performance.tuning.qdrant` for the order."""
    work = _docker if config.target == "docker" else _qdrant
    came = operations.run(context, lambda here: work(here, config), cleanup_limit=qdrant.CLEANUP_LIMIT)
    tell_result(context, came["what"])
    context.add_output_metadata(came)


@dg.job(
    name="apply_performance_tuning",
    executor_def=EXECUTOR,
    tags={"dagster/max_runtime": "7200"},
    description=(
        "Launch it as it is to see what would be tuned; `action: apply` does it, `action: undo` puts the last change "
        "back. The Docker daemon's settings are only ever proposed, in a file."
    ),
)
def apply_performance_tuning_job() -> None:
    """One op: the steps share the lock."""
    tune()


def _qdrant(here: OperationContext, config: TuningConfig) -> dict[str, Any]:
    if config.action == "plan":
        made = qdrant.plan_only(here, config.request())
        return {
            "what": "told only; nothing was changed",
            **_shown(made.changes, planned=True),
            **_notes(plan_notes(made)),
        }
    if config.action == "undo":
        undone = qdrant.undo(here)
        return {"what": "undone" if undone else "there is nothing to undo", **_shown(undone)}
    done = qdrant.apply(here, config.request())
    return {"what": done.held, **_shown(done.changes), **_notes(plan_notes(done.plan))}


def _docker(here: OperationContext, config: TuningConfig) -> dict[str, Any]:
    if config.action == "undo":
        return {"what": "the proposal was removed" if docker.withdraw(here.settings) else "there is no proposal"}
    made = docker.propose(here.settings, config.settings)
    if config.action == "apply":
        made = docker.write(made)
    return {"what": "a proposal; nothing was applied, nothing restarted", **_notes(proposal_lines(made))}


def _shown(changes: Sequence[Tuned], *, planned: bool = False) -> dict[str, Any]:
    if not changes:
        return {}
    shown: dict[str, Any] = {"settings": _table(COLUMNS, change_rows(changes, planned=planned))}
    if effects := effect_rows(changes):
        shown["effect"] = _table(EFFECTS, effects)
    for one in changes:
        for when, effect in (("before", one.effect_before), ("after", one.effect_after)):
            if effect is not None and effect.p95 is not None:
                shown[f"{one.collection} p95 {when} (ms)"] = dg.MetadataValue.float(effect.p95)
    return shown


def _table(columns: tuple[str, ...], rows: list[dict[str, str]]) -> dg.TableMetadataValue:
    return dg.MetadataValue.table(
        [dg.TableRecord(dict(row)) for row in rows], dg.TableSchema([dg.TableColumn(name) for name in columns])
    )


def _notes(lines: list[str]) -> dict[str, Any]:
    return {"notes": dg.MetadataValue.md("\n".join(f"- {line}" for line in lines))} if lines else {}
