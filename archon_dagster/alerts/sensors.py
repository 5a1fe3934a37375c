"""The sensors of the chapter: each looks at one thing, tells the book, and sends what is due.

The recovery only queues what it has to tell, because it must not wait for a channel: ``alert_delivery`` sends that.

They run by default. Without a channel they do nothing and say so; what goes wrong in sending is kept and shown by
`archon alerts list`, it never fails a tick.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorStatus, InstigatorType, TickStatus

from archon_dagster.alerts import backups, checks, failures, health_checks, heartbeat, recovery_points, silent_monitor
from archon_dagster.alerts.alerting import NOT_CONFIGURED, Alerting
from archon_dagster.alerts.book import Raised, Seen, Tick
from archon_dagster.alerts.failures import FailedRun
from archon_dagster.alerts.record import RecordFile
from archon_dagster.errors import ArchonError, RepositoryError
from archon_dagster.health import silent_after, standing
from archon_dagster.platform.settings import Settings
from archon_dagster.resources import Operations

ON = dg.DefaultSensorStatus.RUNNING
_PASSED_AGAIN = "it is as it should be again"
_MONITOR_PAGE = f"locations/archon/sensors/{silent_monitor.SENSOR}"


@dg.run_failure_sensor(
    name="failed_runs",
    default_status=ON,
    minimum_interval_seconds=5,
    description="Tells of every failed run of this code location, with the first line of its error and a link.",
)
def failed_runs(context: dg.RunFailureSensorContext, operations: Operations) -> dg.SkipReason | None:
    """A run that failed because of a check of a backup is left to the sensor that watches the checks."""
    settings = operations.settings()
    alerting, run = Alerting(settings), context.dagster_run
    if not alerting.channels:
        return dg.SkipReason(NOT_CONFIGURED)
    if checks.failed_in(context.instance, context.repository_def, run.run_id):
        return dg.SkipReason("a check of the backup failed: told by failed_checks")
    _tell_of_backups(context, settings, alerting)
    at, page = _ended(context), failures.run_page(settings, run.run_id)
    alert = failures.run_failed(FailedRun(run.job_name, run.run_id, _error(context), at, run.tags, page))
    if alert is None:
        return dg.SkipReason(f"the job {run.job_name} is not told of")
    return _tell(alerting, Seen(failures.source_of(run.job_name), (alert,)))


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    name="succeeded_runs",
    default_status=ON,
    minimum_interval_seconds=5,
    description="Tells that a job that had failed works again; of good backups only if ARCHON_ALERT_BACKUP_RESULTS.",
)
def succeeded_runs(context: dg.RunStatusSensorContext, operations: Operations) -> dg.SkipReason | None:
    """The counterpart of ``failed_runs``."""
    settings = operations.settings()
    alerting, run = Alerting(settings), context.dagster_run
    if not alerting.channels:
        return dg.SkipReason(NOT_CONFIGURED)
    _tell_of_backups(context, settings, alerting)
    return _tell(alerting, Seen(failures.source_of(run.job_name), (), f"the run {run.run_id[:8]} has succeeded"))


@dg.sensor(
    name="failed_checks",
    default_status=ON,
    minimum_interval_seconds=15,
    description="Tells of checks that fail, of backups, performance and services. A failed check alone fails no run.",
)
def failed_checks(context: dg.SensorEvaluationContext, operations: Operations) -> dg.SkipReason | None:
    """Of the services' checks those that the health monitor has confirmed and no incident tells of."""
    settings, now = operations.settings(), datetime.now(UTC)
    alerting = Alerting(settings)
    if not alerting.channels:
        return dg.SkipReason(NOT_CONFIGURED)
    failing = checks.failing(context.instance, context.repository_def, lambda run: failures.run_page(settings, run))
    found = tuple(failures.check_failed(check) for check in failing)
    believed = standing(settings.home)
    if now.timestamp() - believed.at > silent_after(settings.health_interval):
        return _tell(alerting, Seen(failures.CHECKS, found, _PASSED_AGAIN, unsure=health_checks.everything()))
    of_services, left = health_checks.alerts(
        believed, alerting.file.read().book, now, lambda name: failures.ui_page(settings, f"assets/health/{name}")
    )
    return _tell(alerting, Seen(failures.CHECKS, (*found, *of_services), _PASSED_AGAIN, unsure=left))


@dg.sensor(
    name="silent_monitor",
    default_status=ON,
    minimum_interval_seconds=15,
    description="Tells that the health monitor has not looked for minutes: it is off, or its ticks fail.",
)
def silent_monitor_sensor(
    context: dg.SensorEvaluationContext, operations: Operations
) -> dg.SensorResult | dg.SkipReason:
    """The cursor says since when this sensor itself watches without a gap."""
    settings, now = operations.settings(), datetime.now(UTC)
    alerting = Alerting(settings)
    if not alerting.channels:
        return dg.SkipReason(NOT_CONFIGURED)
    if nothing := silent_monitor.nothing_to_watch(settings):
        return dg.SkipReason(nothing)
    since = silent_monitor.watched_since(context.cursor, now, settings.health_interval)
    known, page = _monitor_sensor(context.instance), failures.ui_page(settings, _MONITOR_PAGE)
    alert = silent_monitor.alert(settings, now, since, known, page)
    told = _tell(alerting, Seen(silent_monitor.SOURCE, (alert,) if alert else (), "it looks again"))
    return dg.SensorResult(cursor=silent_monitor.cursor_of(since, now), skip_reason=told)


@dg.sensor(
    name="recovery_points",
    default_status=ON,
    minimum_interval_seconds=300,
    description="Tells of stores whose newest good backup is older than the recovery point objective allows.",
)
def recovery_points_kept(
    context: dg.SensorEvaluationContext, operations: Operations
) -> dg.SensorResult | dg.SkipReason:
    """The cursor is the instant since which somebody watches: a new platform is given time for its first backup."""
    settings, now = operations.settings(), datetime.now(UTC)
    alerting = Alerting(settings)
    if not alerting.channels:
        return dg.SkipReason(NOT_CONFIGURED)
    since = datetime.fromisoformat(context.cursor) if context.cursor else now
    try:
        newest = recovery_points.newest_backups(settings)
    except RepositoryError as error:
        told = _tell(
            alerting, Seen(recovery_points.REPOSITORY, (recovery_points.repository_unreadable(str(error), now),))
        )
    else:
        alerting.tell(Seen(recovery_points.REPOSITORY, (), "it can be read again"))
        allowed = recovery_points.limits(_schedules_on(context))
        found = recovery_points.breaches(newest, allowed, now, since)
        told = _tell(alerting, Seen(recovery_points.AGE, found, "there is a younger good backup now"))
    return dg.SensorResult(cursor=since.isoformat(), skip_reason=told)


@dg.sensor(
    name="alert_delivery",
    default_status=ON,
    minimum_interval_seconds=5,
    description="Sends what incidents have to tell, what could not be sent at once, and reminders of what still lasts.",
)
def alert_delivery(operations: Operations) -> dg.SkipReason:
    """What is queued is sent with the next tick, seconds later; the other sensors of the chapter send at once."""
    alerting = Alerting(operations.settings())
    return _tell(alerting, Tick()) if alerting.channels else dg.SkipReason(NOT_CONFIGURED)


@dg.sensor(
    name="heartbeat",
    default_status=ON,
    minimum_interval_seconds=5,
    description="The dead-man's heartbeat: a GET of ARCHON_HEARTBEAT_URL while this control plane lives.",
)
def heartbeat_sensor(operations: Operations) -> dg.SkipReason:
    """Beats when it is time, and the health monitor is not silent: else it would keep up an appearance of life."""
    settings, now = operations.settings(), datetime.now(UTC)
    if settings.heartbeat_url is None:
        return dg.SkipReason(heartbeat.NOT_CONFIGURED)
    file = RecordFile(settings.home)
    if not heartbeat.due(file.read().beat, now, settings.heartbeat_interval):
        return dg.SkipReason("not yet")
    if why := silent_monitor.silence(settings, now):
        heartbeat.hold(file, now, why)
        return dg.SkipReason(f"not beaten: {why}")
    outcome = heartbeat.beat(settings.heartbeat_url, file, now)
    return dg.SkipReason("beaten" if outcome.ok else f"the heartbeat is not answered: {outcome.why}")


SENSORS = [
    failed_runs,
    succeeded_runs,
    failed_checks,
    silent_monitor_sensor,
    recovery_points_kept,
    alert_delivery,
    heartbeat_sensor,
]


def _tell(alerting: Alerting, event: Seen | Tick) -> dg.SkipReason:
    alerting.tell(event)
    return dg.SkipReason(str(alerting.flush()))


def _tell_of_backups(context: dg.RunStatusSensorContext, settings: Settings, alerting: Alerting) -> None:
    """Of the good backups that a run has taken, to those who ask; a run that failed later may have taken one too."""
    if not settings.alert_backup_results:
        return
    run = context.dagster_run
    record = context.instance.get_run_record_by_id(run.run_id)
    tags: Mapping[str, str] = record.dagster_run.tags if record else run.tags
    began = record.start_time if record and record.start_time else 0.0
    page = failures.run_page(settings, run.run_id)
    try:
        for manifest in backups.taken(settings, tags, datetime.fromtimestamp(began, UTC)):
            alerting.tell(Raised(backups.note(manifest, _ended(context), page)))
    except ArchonError as error:  # told by recovery_points, which asks the repository too
        context.log.warning(f"which backups the run has taken is not known: {error}")


def _monitor_sensor(instance: dg.DagsterInstance) -> str:
    """What is known of the monitor's sensor: that it is off, or how its last tick failed; empty where nothing is."""
    for state in instance.all_instigator_state(instigator_type=InstigatorType.SENSOR):
        if state.name != silent_monitor.SENSOR:
            continue
        if state.status == InstigatorStatus.STOPPED:
            return "its sensor is switched off"
        for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1):
            if tick.status == TickStatus.FAILURE and tick.error is not None:
                return f"its last tick failed: {(tick.error.cause or tick.error).message.strip()}"
    return ""


def _ended(context: dg.RunStatusSensorContext) -> datetime:
    """When the run ended; its event may be looked at much later, after the daemon was down."""
    record = context.instance.get_run_record_by_id(context.dagster_run.run_id)
    return datetime.fromtimestamp(record.end_time, UTC) if record and record.end_time else datetime.now(UTC)


def _error(context: dg.RunFailureSensorContext) -> str:
    """The run's error as it was raised: of the first step that failed, else of the run."""
    for event in context.get_step_failure_events():
        data = event.step_failure_data
        if data.user_failure_data is not None and data.user_failure_data.description:
            return data.user_failure_data.description
        if data.error is not None:
            return (data.error.cause or data.error).message
    return context.failure_event.message or ""


def _schedules_on(context: dg.SensorEvaluationContext) -> set[str]:
    """The schedules of this code location that tick."""
    states = {
        state.name: state for state in context.instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)
    }
    found = set()
    for schedule in context.repository_def.schedule_defs if context.repository_def else ():
        state = states.get(schedule.name)
        by_default = schedule.default_status == dg.DefaultScheduleStatus.RUNNING
        if by_default if state is None else state.status != InstigatorStatus.STOPPED:
            found.add(schedule.name)
    return found
