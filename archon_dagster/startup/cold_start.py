"""Start from a platform that is completely down: what ``archon cold-start`` and the job ``cold_start`` do.

Confirmed -> the external services are well -> lock -> no restore was killed half way -> count what the stores hold ->
pull (if asked to: a registry that does not answer must not find the platform down) -> down -> start -> compare -> test.
Up to *down* a failure touches nothing. Only this project's services are taken down; nothing is pruned, and volumes and
data stay whatever happens. After *down* a failure says how to go on: starting again begins where it ended.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from archon_dagster.errors import ArchonError, Cancelled, ConfirmationMissing
from archon_dagster.platform.quiesce import thaw_leftovers
from archon_dagster.startup.alone import Alone, alone
from archon_dagster.startup.aside import Aside
from archon_dagster.startup.context import StartContext
from archon_dagster.startup.externals import External, check_externals, require_good
from archon_dagster.startup.order import order_of
from archon_dagster.startup.platform import StartRequest, bring_up, refuse_half_restored
from archon_dagster.startup.report import Report
from archon_dagster.startup.validation import note_present

CONFIRMATION = "COLD-START"
GO_ON = "nothing was pruned and the data are where they were; go on with: archon start"


@dataclass(frozen=True)
class ColdStartRequest:
    """What a cold start is asked for.

    :param confirm: must be ``COLD-START``: the platform goes down.
    :param pull: fetch the images of the current configuration first; pin them, or this is an upgrade.
    :param despite_externals: go on although an external service is not well.
    :param accept_counts: the operator's word that fewer records than before are right.
    """

    confirm: str
    pull: bool = False
    despite_externals: bool = False
    accept_counts: bool = False


def cold_start(context: StartContext, request: ColdStartRequest) -> Report:
    """Take the platform down and start it; see the module for the order.

    :raises ConfirmationMissing: and anything else before *down*: nothing was touched.
    """
    if request.confirm != CONFIRMATION:
        raise ConfirmationMissing(
            "a cold start takes the platform down and was not confirmed; nothing was touched",
            todo=f"archon cold-start --confirm {CONFIRMATION}   (to start what is down, without stopping anything: "
            "archon start)",
        )
    begin = time.monotonic()
    order = order_of((), context.services())
    externals = _externals(context, request)
    with alone(context.settings, "cold start", context.check) as held:
        refuse_half_restored(context, order)
        thaw_leftovers(context.settings, context.runtime)
        note_present(context, held.repository)
        if request.pull:
            with context.step("pull"):
                context.runtime.pull()
        report = _from_nothing(context, request, held, externals)
    return replace(report, kind="cold start", seconds=time.monotonic() - begin)


def _externals(context: StartContext, request: ColdStartRequest) -> tuple[External, ...]:
    with context.step("check external services") as said:
        found = Aside(lambda: check_externals(context.settings)).result(context.check)
        if request.despite_externals:
            said["failed"] = "; ".join(one.line for one in found if one.state == "bad")
        else:
            require_good(found)
    return found


def _from_nothing(
    context: StartContext, request: ColdStartRequest, held: Alone, externals: tuple[External, ...]
) -> Report:
    """From here on a failure finds the platform down, and says what to do about it."""
    try:
        with context.step("down"):
            context.runtime.down()
        return bring_up(context, StartRequest(accept_counts=request.accept_counts), held, externals)
    except Cancelled as cancelled:
        raise Cancelled(cancelled.what, tried=cancelled.tried, todo=GO_ON) from cancelled
    except ArchonError as error:
        error.todo = "\n  ".join(filter(None, [error.todo, GO_ON]))
        raise
