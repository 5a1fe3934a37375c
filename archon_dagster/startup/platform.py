"""Start the whole platform: what ``archon start`` and the job ``startup`` do.

Look (a platform that runs and is ready is left alone, without even taking the lock) -> lock -> let go what a killed
backup left paused -> start -> compare the counts -> index a marked document, find it, delete it. The external services
are looked at beside it and reported: a start needs no permission of theirs, but an unwell search may be their doing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from archon_dagster.configuration.status import standing
from archon_dagster.context import Step
from archon_dagster.errors import RestoreFailed
from archon_dagster.platform.probes import Answer
from archon_dagster.platform.quiesce import thaw_leftovers
from archon_dagster.platform.services import BY_NAME
from archon_dagster.restore.journal import JournalFile
from archon_dagster.startup.alone import Alone, alone, open_repository
from archon_dagster.startup.aside import Aside
from archon_dagster.startup.context import StartContext
from archon_dagster.startup.counts import Comparison
from archon_dagster.startup.externals import External, check_externals
from archon_dagster.startup.order import order_of
from archon_dagster.startup.report import NOTHING_TO_DO, Report
from archon_dagster.startup.result import ServiceStart, Started
from archon_dagster.startup.start import look, start_services
from archon_dagster.startup.validation import compare_counts, prove_work

MODEL_LIMIT = 15.0  # seconds the embedding model may take; a start that does not need it is not held up for longer


@dataclass(frozen=True)
class StartRequest:
    """What to start.

    :param services: nothing named means all of them; what they need is started too.
    :param accept_counts: the operator's word that fewer records than before are right.
    """

    services: tuple[str, ...] = ()
    accept_counts: bool = False


def start_platform(context: StartContext, request: StartRequest) -> Report:
    """Start the platform; see the module for the order. What failed is in the report, which raises it when asked to.

    :raises RepositoryBusy: a backup or a restore is at work. :raises RestoreFailed: one was killed half way.
    """
    begin = time.monotonic()
    order = order_of(request.services, context.services())
    answers = Aside(lambda: look(order, context.settings, context.runtime)).result(context.check)
    if all(answer.ok for answer in answers.values()):
        context.report(Step("look", NOTHING_TO_DO, time.monotonic() - begin))
        report = _as_it_is(context, request, answers)
    else:
        with alone(context.settings, "start", context.check) as held:
            refuse_half_restored(context, order)
            thaw_leftovers(context.settings, context.runtime)
            report = bring_up(context, request, held)
    return replace(report, seconds=time.monotonic() - begin)


def _as_it_is(context: StartContext, request: StartRequest, answers: Mapping[str, Answer]) -> Report:
    """Everything is ready: nothing is touched; only the counts are compared."""
    services = [
        ServiceStart(name, "was ready", 0.0, answer.text, essential=BY_NAME[name].essential)
        for name, answer in answers.items()
    ]
    started = Started(tuple(services), 0.0)
    found = open_repository(context.settings, context.check)
    compared = compare_counts(context, started, found.repository, accept=request.accept_counts)
    return Report(started, compared=compared, warnings=_warnings(context, found, compared))


def bring_up(
    context: StartContext, request: StartRequest, held: Alone, externals: tuple[External, ...] | None = None
) -> Report:
    """Start, compare, test; for a caller that holds the lock.

    :param externals: where they have been looked at already.
    """
    looking = Aside(lambda: check_externals(context.settings, MODEL_LIMIT) if externals is None else externals)
    started = start_services(
        request.services,
        context.settings,
        context.runtime,
        context.cancel,
        on_turn=lambda service: context.report(Step(service.name)),
        on_done=lambda came: _tell(context, came),
    )
    found = looking.result(context.check)
    compared = compare_counts(context, started, held.repository, accept=request.accept_counts)
    tested = prove_work(context, started, compared)
    return Report(started, found, compared, tested, warnings=_warnings(context, held, compared))


def refuse_half_restored(context: StartContext, names: Mapping[str, object]) -> None:
    """Services that write must not work on what a killed restore left half done."""
    journal = JournalFile(context.settings).read()
    writers = [name for name in names if BY_NAME[name].writer]
    if journal is None or not journal.touched or not writers:
        return
    raise RestoreFailed(
        f"the restore of {journal.backup} did not end: {', '.join(journal.touched)} may be half restored, so "
        f"{', '.join(writers)} must not write to it; nothing was started",
        todo=f"{journal.advice}   (either starts the services at its end)",
    )


def _tell(context: StartContext, came: ServiceStart) -> None:
    if came.ready:
        context.report(Step(came.service, came.how, came.seconds))
    else:
        why = came.detail.removeprefix(f"{came.service} ")  # "… is not ready after": the name stands before it
        context.report(Step(came.service, seconds=came.seconds, failed=why if came.log else f"{came.how}: {why}"))


def _warnings(context: StartContext, held: Alone, compared: Comparison) -> tuple[str, ...]:
    stands = standing(context.settings)
    changed = f"{one.what} did not end; {stands.says}; {one.advice}" if (one := stands.interrupted) else ""
    uncounted = [f"{store} could not be counted: {why}" for store, why in compared.uncounted.items()]
    return tuple(filter(None, [held.trouble, changed, *uncounted]))
