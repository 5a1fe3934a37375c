"""Tune the optimizers of Qdrant's collections.

Measure -> note what is there -> PATCH -> read back -> have the platform index a document, which is when a service would
write over it -> read back again -> wait for the optimizers -> measure. What fails or is cancelled before the end is put
back. A change that a service wrote over at once is a failure that names the service, for tuning that does not hold is
none; there the service's values stay, which it would write again anyway, until an undo.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from archon_dagster.context import OperationContext, telling
from archon_dagster.errors import ArchonError, StoreError
from archon_dagster.health.end_to_end import Busy, Outcome, run_end_to_end
from archon_dagster.performance.tuning import effect, journal
from archon_dagster.performance.tuning.drift import Drift, compared, optimizers
from archon_dagster.performance.tuning.journal import Tuned
from archon_dagster.performance.tuning.options import Value
from archon_dagster.performance.tuning.planning import Plan, TuneRequest, plan
from archon_dagster.performance.tuning.writers import WRITERS
from archon_dagster.performance.vectors import opened
from archon_dagster.platform.settings import Settings
from archon_dagster.stores.vectors.client import Client

LOCK = "performance tuning"
CLEANUP_LIMIT = 120.0  # seconds an interrupted change may take to be put back
_TEST_LIMIT = 15.0  # seconds for the platform to index a document
Functional = Callable[[Settings, float], Outcome]


@dataclass(frozen=True)
class Tuning:
    """What came of it. :param held: how it is known that the values hold."""

    plan: Plan
    changes: tuple[Tuned, ...] = ()
    held: str = ""


def plan_only(context: OperationContext, request: TuneRequest) -> Plan:
    """What would be changed, for callers without a client; changes nothing."""
    with opened(context.settings, context.check) as client:
        return plan(context.settings, client, request)


def apply(context: OperationContext, request: TuneRequest, functional: Functional = run_end_to_end) -> Tuning:
    """Tune; see the module for the order.

    :raises StoreError: the server did not take it, or a service wrote over it at once; the message names who.
    :raises RepositoryBusy: a backup, a restore or another tuning is at work.
    """
    settings = context.settings
    with (
        context.repository.lock(LOCK, check=context.check),
        opened(settings, context.check) as client,
    ):
        made = plan(settings, client, request)
        if not made.changes:
            return Tuning(made, held="nothing to change: every value is there already")
        with telling(context.report, "measure before"):
            changes = _measured(context, client, made.changes)
        journal.note(settings.home, changes)
        try:
            with telling(context.report, "apply", ", ".join(one.collection for one in changes)):
                for one in changes:
                    _set(client, one, one.wanted)
            held, lost = _tested(context, client, changes, functional)
            done = _after(context, client, changes, held) if not lost else []
        except BaseException as error:
            _put_back(settings, client.uninterrupted(), changes, why=str(error).partition("\n")[0])
            raise
        if lost:
            _overwritten(settings, changes, lost, client.address)
        return Tuning(made, tuple(done), held)


def undo(context: OperationContext) -> list[Tuned]:
    """Put back what was there before the last change that was not undone yet; nothing where there is none.

    A collection that is gone has nothing to be put back.
    """
    settings = context.settings
    with (
        context.repository.lock(LOCK, check=context.check),
        opened(settings, context.check) as client,
    ):
        there = set(client.collections())
        done = []
        for one in journal.last_in_force(settings.home):
            detail = "the collection is gone"
            if one.collection in there:
                detail = _found(optimizers(client, one.collection), one)
                with telling(context.report, "put back", one.collection):
                    _set(client, one, one.before)
            done.append(one.model_copy(update={"state": "undone", "detail": detail}))
            journal.note(settings.home, done)
        return done


def _found(live: dict[str, object], one: Tuned) -> str:
    other = [f"{name} was {live.get(name)}" for name, value in one.wanted.items() if live.get(name) != value]
    return f"found changed by somebody else: {', '.join(other)}" if other else ""


def _measured(context: OperationContext, client: Client, changes: Sequence[Tuned]) -> list[Tuned]:
    found = []
    for one in changes:
        now = effect.measure(client, one.collection, context.settings, context.cancel, settled=True)
        found.append(one.model_copy(update={"effect_before": now}))
    return found


def _set(client: Client, one: Tuned, values: dict[str, Value]) -> None:
    """PATCH, and read back."""
    client.update_collection(one.collection, {"optimizers_config": values})
    live = optimizers(client, one.collection)
    other = {name: live.get(name) for name, value in values.items() if live.get(name) != value}
    if other:
        raise StoreError(
            f"{one.collection} was to have {values} and says {other} right after",
            where=client.address,
            tried="PATCH of optimizers_config, answered as done",
            todo="does a service write these settings at this moment? archon tune status",
        )


def _tested(
    context: OperationContext, client: Client, changes: Sequence[Tuned], functional: Functional
) -> tuple[str, list[Drift]]:
    """Have a document indexed, as the services do all day, and look whether the values are still there."""
    settings = context.settings
    services = {one.service for one in WRITERS}
    if not services & set(context.runtime.services()):
        return "read back; that no service writes over it was not tried: none runs here", []
    with telling(context.report, "index a document, and look whether the values hold") as said:
        try:
            outcome = functional(settings, _TEST_LIMIT)
            tried = "read back, also after a document was indexed" if outcome.passed else ""
            why = outcome.detail
        except Busy as busy:
            tried, why = "", str(busy)
        context.check()
        if not tried:
            tried = said["failed"] = f"read back; whether it holds when a document is indexed is not known: {why}"
    return tried, [
        drift
        for one in changes
        for drift in compared(settings, one.collection, one.wanted, optimizers(client, one.collection))
    ]


def _put_back(settings: Settings, client: Client, changes: Sequence[Tuned], why: str) -> None:
    """What was begun did not come to its end: as it was; what cannot be put back stays in the journal as begun."""
    for one in changes:
        try:
            _set(client, one, one.before)
        except ArchonError as error:
            journal.note(settings.home, [one.model_copy(update={"detail": f"not put back: {error.what}"})])
        else:
            journal.note(settings.home, [one.model_copy(update={"state": "put back", "detail": why})])


def _overwritten(settings: Settings, changes: Sequence[Tuned], lost: Sequence[Drift], where: str) -> None:
    journal.note(
        settings.home,
        [one.model_copy(update={"state": "overwritten", "detail": lost[0].by})
         if any(drift.collection == one.collection for drift in lost)
         else one.model_copy(update={"state": "applied"}) for one in changes],
    )  # fmt: skip
    raise StoreError(
        f"the tuning does not hold: {'; '.join(one.sentence for one in lost)}",
        where=where,
        tried="every value was read back; then the platform was asked to index one document, and they were gone; the "
        "values named here are in force now, and every other one as it was tuned",
        todo=f"{lost[0].todo}; or back to what was there before: archon tune qdrant --undo",
    )


def _after(context: OperationContext, client: Client, changes: Sequence[Tuned], held: str) -> list[Tuned]:
    settings = context.settings
    done = [one.model_copy(update={"state": "applied", "detail": held}) for one in changes]
    journal.note(settings.home, done)  # killed from here on it holds, and is looked after as what was tuned
    found = []
    for one in done:
        with telling(context.report, "wait for the optimizers, and measure", one.collection):
            settled = effect.settle(client, one.collection, settings.performance_tune_limit, context.cancel)
            now = effect.measure(client, one.collection, settings, context.cancel, settled=settled)
        found.append(one.model_copy(update={"effect_after": now}))
        journal.note(settings.home, found)
    return found
