"""The health monitor: looks without a run, and writes events only when something has changed, or as a heartbeat.

An evaluation costs kilobytes in Dagster's event log and is never purged, so the samples stay in the home. The cursor is
the number of the last confirmed change that Dagster was told of: what a crash has kept from it is told the next time.
"""

from collections.abc import Iterator
from dataclasses import replace

import dagster as dg
from filelock import FileLock, Timeout

from archon_dagster.errors import ConfigurationError
from archon_dagster.health import events, monitor
from archon_dagster.health import state as states
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
            return _tick(settings, context)
    except ConfigurationError as error:  # no platform here
        return dg.SkipReason(error.what)
    except Timeout:
        return dg.SkipReason("the tick before is still at work")


def _turn(settings: Settings) -> FileLock:
    file = settings.home / "health" / "tick.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(file, timeout=0)


def _tick(settings: Settings, context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    before = states.load(settings.home)
    if not context.cursor:  # an instance that was never told anything
        before = replace(before, heartbeats={})
    found = monitor.tick(settings, open_runtime(settings), before=before)
    monitor.keep(settings, found)
    told = list(_reports(settings, found, context.cursor, context.instance))
    if not told:
        return dg.SkipReason(_nothing_new(found))
    return dg.SensorResult(asset_events=told, cursor=str(found.state.sequence), skip_reason=_told(found, told))


def _reports(
    settings: Settings, found: Tick, cursor: str | None, instance: dg.DagsterInstance
) -> Iterator[dg.AssetCheckEvaluation | dg.AssetObservation]:
    """Events of who has changed since Dagster was last told, and of those whose turn it is.

    That somebody has been well from the beginning is no news: it waits for its turn, so that the first tick is short.
    Nor is a check whose last result was the same: a restore takes everybody into maintenance and out of it.
    """
    history, state = History(settings.home), found.state
    told = int(cursor) if cursor and cursor.isdigit() else None
    if told is None or told > state.sequence:  # a new instance, or a new home
        changed = {name for name, one in state.services.items() if one.state in ("degraded", "unhealthy")}
    else:
        changed = {one.change.service for one in events.read(settings.home, after=told)} & state.heartbeats.keys()
    for name, sample in found.samples.items():
        if name in found.heartbeat or name in changed:
            results = list(evaluations(sample, state.causes.get(name, ())))
            yield from results if name in found.heartbeat else _news(results, instance)
            yield observation(name, found, history)


def _news(results: list[dg.AssetCheckEvaluation], instance: dg.DagsterInstance) -> list[dg.AssetCheckEvaluation]:
    """Those results that differ from the last ones; where a check is being run, its last one is not known."""
    keys = [result.asset_check_key for result in results]
    last = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)

    def shown(key: dg.AssetCheckKey) -> object:
        event = last[key].event if key in last else None
        said = event.dagster_event if event else None
        if said is None or said.event_type != dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            return None
        return said.asset_check_evaluation_data.passed, said.asset_check_evaluation_data.severity

    return [result for result in results if shown(result.asset_check_key) != (result.passed, result.severity)]


def _told(found: Tick, reports: list[dg.AssetCheckEvaluation | dg.AssetObservation]) -> str:
    """What the list of ticks shows: there is no run to be shown."""
    news = [f"{one.change.service}: {one.change.old} -> {one.change.new}" for one in found.events]
    about = dict.fromkeys(report.asset_key.path[-1] for report in reports)
    return "; ".join(news) or f"reported again: {', '.join(about)}"


def _nothing_new(found: Tick) -> str:
    states = [state.state for state in found.state.services.values()]
    counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "no services here"
    return f"nothing new: {counted}; {found.seconds:.1f} s"
