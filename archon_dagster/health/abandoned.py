"""Let writers go on that a dead backup left paused.

A backup that is killed is survived by its guard, which lets the writers go on at once: not so in a container, which
dies as a whole, and not where both were killed. Then nobody is left who would, and the automatic recovery, if it is on,
would restart services that have nothing. So every round of the monitor looks for the note that a pause leaves behind,
and acts when whoever wrote it is dead (the platform's lock is free, at the latest a lease after its last sign of life)
or has held the writers as long as it may.
"""

from __future__ import annotations

from archon_dagster.health import at_work
from archon_dagster.platform.quiesce import held_since, thaw_leftovers
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.settings import Settings


def let_go(settings: Settings, runtime: Runtime, now: float) -> tuple[str, ...]:
    """The writers that go on because of this call.

    The pause of a living backup is at most cut short: it looks whether its writers were held all the time, and its
    manifest says that they were not.

    :param now: seconds since 1970. :raises ServiceError: they could not be let go.
    """
    since = held_since(settings)
    if since is None:
        return ()
    if now - since < settings.pause_limit and at_work.is_held(settings) is not False:
        return ()
    return thaw_leftovers(settings, runtime)
