"""After a start: have the stores what they held, and does the platform do its work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from archon_dagster.health.end_to_end import Busy, Outcome
from archon_dagster.platform.services import BY_NAME
from archon_dagster.repository.repository import Repository
from archon_dagster.startup import counts
from archon_dagster.startup.aside import Aside
from archon_dagster.startup.context import StartContext
from archon_dagster.startup.counts import Comparison
from archon_dagster.startup.report import Tested
from archon_dagster.startup.result import Started
from archon_dagster.startup.start import look
from archon_dagster.stores.base import StoreName

TEST_LIMIT = 30.0  # seconds: the first search of a platform that has just started is slow
TEST_NEEDS = ("qdrant", "archon-search")
_TURNS, _PAUSE = 10, 2.0  # another end-to-end test is waited for so often, so many seconds


def compare_counts(
    context: StartContext, started: Started, repository: Repository | None, *, accept: bool
) -> Comparison:
    """Count the stores whose servers are ready, compare, and remember the counts where nothing is missing.

    :param accept: the operator's word that they are right as they are.
    """
    names = _stores_of([one.service for one in started.services if one.ready])
    if not names:
        return Comparison()
    with context.step("compare counts", ", ".join(names)) as said:
        compared = _compared(context, names, repository, accept)
        said["failed"] = "; ".join(loss.line for loss in compared.losses)
    return compared


def note_present(context: StartContext, repository: Repository | None) -> None:
    """Remember what the stores hold before they go down, so that one that comes up without it is noticed.

    What does not answer is not counted, and what has lost something already is not noted.
    """
    answers = Aside(lambda: look(context.services(), context.settings, context.runtime)).result(context.check)
    names = _stores_of([name for name, answer in answers.items() if answer.ok])
    if names:
        with context.step("count what is there", ", ".join(names)):
            _compared(context, names, repository, accept=False)


def _stores_of(services: Iterable[str]) -> list[StoreName]:
    held = {BY_NAME[name].store for name in services}
    return [name for name in counts.COUNTED if name in held]


def _compared(
    context: StartContext, names: Sequence[StoreName], repository: Repository | None, accept: bool
) -> Comparison:
    stores = context.open_stores(context.settings, context.runtime)
    counting = Aside(lambda: counts.count({name: stores[name] for name in names}))
    known = counts.last_known(context.settings.home, repository)
    now, failed = counting.result(context.check)
    losses = () if accept else counts.compare(now, known, context.settings.health_collapsed)
    doubtful = set() if accept else {*failed, *(loss.store for loss in losses)}
    counts.note_counts(context.settings.home, {name: parts for name, parts in now.items() if name not in doubtful})
    return Comparison(now, losses, failed, tuple(name for name in now if name not in known))


def prove_work(context: StartContext, started: Started, compared: Comparison) -> Tested:
    """The end-to-end test, where what it needs is ready and nothing is wrong with the data."""
    ready = [one.service for one in started.services if one.ready]
    if missing := [name for name in TEST_NEEDS if name not in ready]:
        return Tested(None, f"not tested: {', '.join(missing)} not ready or not asked for")
    if compared.losses:
        return Tested(None, "not tested: nothing is written to a platform whose data are missing")
    with context.step("end-to-end test", "index, find, see, delete") as said:
        try:
            outcome = _in_turn(context)
        except Busy as busy:
            return Tested(None, f"not tested: {busy}")
        said["failed"] = "" if outcome.passed else outcome.detail
    return Tested(outcome.passed, outcome.detail, outcome.seconds)


def _in_turn(context: StartContext) -> Outcome:
    """The health monitor makes the same test, and only one can be made at a time."""
    for _ in range(_TURNS):
        try:
            return Aside(lambda: context.functional(context.settings, TEST_LIMIT)).result(context.check)
        except Busy:
            context.cancel.wait(_PAUSE)
            context.check()
    return context.functional(context.settings, TEST_LIMIT)
