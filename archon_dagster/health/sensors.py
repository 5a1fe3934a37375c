"""The health monitor: looks without a run, and writes events only when something has changed, or as a heartbeat.

An evaluation costs kilobytes in Dagster's event log, so the samples stay in the home. The cursor is the number of the
last confirmed change that Dagster was told of: what a crash has kept from it is told the next time.

Dagster's daemon passes by every five seconds. Where the interval is shorter, a tick makes as many rounds as fit between
two passes; the first one that has something to tell ends it.
"""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import dagster as dg
from filelock import FileLock, Timeout

from archon_dagster.errors import ArchonError, ConfigurationError
from archon_dagster.health import abandoned, events, monitor
from archon_dagster.health import state as states
from archon_dagster.health.checks import evaluations, observation
from archon_dagster.health.history import History
from archon_dagster.health.monitor import Tick
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.settings import Settings
from archon_dagster.platform.usable_settings import settings_while_loading
from archon_dagster.resources import Operations

BETWEEN_PASSES = 5.0  # seconds; dagster._daemon.sensor.MIN_INTERVAL_LOOP_TIME. Who is still at work misses the next one
_TO_ANSWER = 0.3  # seconds the daemon needs for the end of a tick


@dg.sensor(
    name="health_monitor",
    minimum_interval_seconds=settings_while_loading().health_interval,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Looks at every service, confirms failures within seconds, and reports changes and a heartbeat.",
)
def health_monitor(context: dg.SensorEvaluationContext, operations: Operations) -> dg.SensorResult | dg.SkipReason:
    """One tick; see :mod:`archon_dagster.health.monitor` for a round."""
    settings = operations.settings()
    try:
        with _turn(settings):
            return _rounds(settings, context)
    except ConfigurationError as error:  # no platform here
        return dg.SkipReason(error.what)
    except Timeout:
        return dg.SkipReason("the tick before is still at work")


def _turn(settings: Settings) -> FileLock:
    file = settings.home / "health" / "tick.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(file, timeout=0)


def _rounds(settings: Settings, context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """One round; where the interval is shorter than the daemon's, as many as end before it passes by again."""
    end, longest, rounds = time.monotonic() + BETWEEN_PASSES - _TO_ANSWER, 0.0, 0
    while True:
        begun = time.monotonic()
        found = _round(settings, context)
        longest, rounds = max(longest, time.monotonic() - begun), rounds + 1
        following = begun + settings.health_interval
        if isinstance(found, dg.SensorResult):
            return found
        if max(following, time.monotonic()) + longest > end:
            return dg.SkipReason(f"{rounds} rounds; {found.skip_message}") if rounds > 1 else found
        threading.Event().wait(max(0.0, following - time.monotonic()))


def _round(settings: Settings, context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    before = states.load(settings.home)
    if not context.cursor:  # an instance that was never told anything
        before = replace(before, heartbeats={})
    runtime = open_runtime(settings)
    _let_go(settings, runtime, context)
    found = monitor.tick(settings, runtime, before=before)
    monitor.keep(settings, found)
    told = list(_reports(settings, found, context.cursor, context.instance))
    if not told:
        return dg.SkipReason(_nothing_new(found))
    return dg.SensorResult(asset_events=told, cursor=str(found.state.sequence), skip_reason=_told(found, told))


def _let_go(settings: Settings, runtime: Runtime, context: dg.SensorEvaluationContext) -> None:
    """Before anybody is asked: a writer that somebody has left paused does not answer, and has not failed."""
    try:
        names = abandoned.let_go(settings, runtime, time.time())
    except ArchonError as error:  # the round goes on: it says who does not answer
        context.log.error(f"writers that a dead backup left paused could not be let go: {error}")
        return
    if names:
        context.log.warning(f"let go on, which a backup that has died had left paused: {', '.join(names)}")


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
