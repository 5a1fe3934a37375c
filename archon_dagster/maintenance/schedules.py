"""When maintenance and retention are done, as the settings say, and the event log is trimmed. A tick is skipped while
one is at work."""

import dagster as dg

from archon_dagster.maintenance.jobs import retention_job, trim_event_log_job, weekly_maintenance_job
from archon_dagster.maintenance.retention import CONFIRMATION
from archon_dagster.platform.settings import load_settings
from archon_dagster.platform.usable_settings import settings_while_loading
from archon_dagster.schedules import one_tick


@dg.schedule(
    name="weekly_maintenance",
    job=weekly_maintenance_job,
    cron_schedule=settings_while_loading().maintenance_cron,
    execution_timezone=settings_while_loading().timezone,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Sundays at 04:00 (ARCHON_MAINTENANCE_CRON, ARCHON_TIMEZONE).",
)
def weekly_maintenance(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """One tick."""
    return one_tick(context, weekly_maintenance_job.name)


@dg.schedule(
    name="retention",
    job=retention_job,
    cron_schedule=settings_while_loading().retention_cron,
    execution_timezone=settings_while_loading().timezone,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Daily at 05:00 (ARCHON_RETENTION_CRON): tells what may go; removes it with ARCHON_RETENTION_APPLY.",
)
def retention(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """One tick."""
    confirm = CONFIRMATION if load_settings().retention_apply else ""
    return one_tick(context, retention_job.name, {"ops": {"prune": {"config": {"confirm": confirm}}}})


@dg.schedule(
    name="daily_trim",
    job=trim_event_log_job,
    cron_schedule="40 5 * * *",
    execution_timezone=settings_while_loading().timezone,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Daily at 05:40: keeps Dagster's event log from growing without an end.",
)
def daily_trim(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """One tick."""
    return one_tick(context, trim_event_log_job.name)
