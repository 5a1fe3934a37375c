"""The health monitor: looks without a run, and writes events only when something has changed, or as a heartbeat.

An evaluation costs kilobytes in Dagster's event log and is never purged, so the samples stay in the home. The cursor is
the number of the last confirmed change that Dagster was told of: what a crash has kept from it is told the next time.
"""

from collections.abc import Iterator

import dagster as dg
from filelock import FileLock, Timeout

from archon_dagster.errors import ConfigurationError
from archon_dagster.health import events, monitor
from archon_dagster.health.checks import evaluations, observation
from archon_dagster.health.history import History
from archon_dagster.health.monitor import Tick
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.resources import Operations


@dg.sensor(
    name="health_monitor",
    minimum_interval_seconds=load_settings().health_interval,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Looks at every service, confirms failures within seconds, and reports changes and a heartbeat.",
)
def health_monitor(context: dg.SensorEvaluationContext, operations: Operations) -> dg.SensorResult | dg.SkipReason:
    """One tick; see :mod:`archon_dagster.health.monitor`."""
    settings = operations.settings()
    try:
        with _turn(settings):
            return _tick(settings, context.cursor)
    except ConfigurationError as error:  # no platform here
        return dg.SkipReason(error.what)
    except Timeout:
        return dg.SkipReason("the tick before is still at work")


def _turn(settings: Settings) -> FileLock:
    file = settings.home / "health" / "tick.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(file, timeout=0)


def _tick(settings: Settings, cursor: str | None) -> dg.SensorResult | dg.SkipReason:
    found = monitor.tick(settings, open_runtime(settings))
    monitor.keep(settings, found)
    told = list(_reports(settings, found, cursor))
    if not told:
        return dg.SkipReason(_nothing_new(found))
    return dg.SensorResult(asset_events=told, cursor=str(found.state.sequence), skip_reason=_told(found, told))


def _reports(
    settings: Settings, found: Tick, cursor: str | None
) -> Iterator[dg.AssetCheckEvaluation | dg.AssetObservation]:
    """Events of the services that have changed since Dagster was last told, or of all of them."""
    history = History(settings.home)
    told = int(cursor) if cursor and cursor.isdigit() else None
    everything = told is None or told > found.state.sequence  # a new instance, or a new home
    due = set(found.samples) if everything else found.heartbeat
    changed = set() if everything else {one.change.service for one in events.read(settings.home, after=told or 0)}
    for name, sample in found.samples.items():
        settled = not found.state.services[name].in_doubt
        if (name in due and settled) or name in changed:
            yield from evaluations(sample, found.state.causes.get(name, ()))
            yield observation(name, found, history)


def _told(found: Tick, reports: list[dg.AssetCheckEvaluation | dg.AssetObservation]) -> str:
    """What the list of ticks shows: there is no run to be shown."""
    news = [f"{one.change.service}: {one.change.old} -> {one.change.new}" for one in found.events]
    about = dict.fromkeys(report.asset_key.path[-1] for report in reports)
    return "; ".join(news) or f"reported again: {', '.join(about)}"


def _nothing_new(found: Tick) -> str:
    states = [state.state for state in found.state.services.values()]
    counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "no services here"
    return f"nothing new: {counted}; {found.seconds:.1f} s"
