"""Tuning as an operator sees it; plain values, shown by Dagster and by the command line."""

from __future__ import annotations

from collections.abc import Sequence

from archon_dagster.performance.tuning.docker import Proposal
from archon_dagster.performance.tuning.journal import Tuned
from archon_dagster.performance.tuning.planning import Plan

COLUMNS = ("collection", "setting", "before", "after", "state")
_STATES = {"begun": "begun: at work, or killed"}
EFFECTS = ("collection", "before", "after")


def change_rows(changes: Sequence[Tuned], *, planned: bool = False) -> list[dict[str, str]]:
    """A row of :data:`COLUMNS` for each setting."""
    return [
        {"collection": one.collection, "setting": name, "before": str(one.before[name]), "after": str(value),
         "state": "planned" if planned else _STATES.get(one.state, one.state)}
        for one in changes
        for name, value in one.wanted.items()
    ]  # fmt: skip


def effect_rows(changes: Sequence[Tuned]) -> list[dict[str, str]]:
    """A row of :data:`EFFECTS` for each collection that was measured."""
    return [
        {"collection": one.collection, "before": one.effect_before.text,
         "after": one.effect_after.text if one.effect_after else "not measured"}
        for one in changes
        if one.effect_before
    ]  # fmt: skip


def plan_notes(plan: Plan) -> list[str]:
    """What is not to be changed, and what speaks against the rest."""
    return [f"{name}: every value is there already" for name in plan.same] + [f"warning: {w}" for w in plan.warnings]


def proposal_lines(proposal: Proposal) -> list[str]:
    """What must be known first, the difference, what stays, and what to type."""
    lines = [proposal.warning] if proposal.warning else []
    lines += [f"changes to {proposal.source}:", *(proposal.diff or ["(none: everything is there already)"])]
    lines += [f"left as it is: {one}" for one in proposal.kept]
    if proposal.checked:
        lines += [proposal.checked, f"the proposal is in {proposal.file}; nothing was applied, nothing restarted"]
        lines += ["to apply it, on the host:", *(f"  {step}" for step in proposal.steps)] if proposal.changed else []
    return lines
