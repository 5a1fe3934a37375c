"""When backups are taken: the schedules that meet the runbook's recovery point objectives.

Only the daily one is on by default; the hourly and the 15-minute ones are there to be switched on in the UI. A tick
is skipped while the job is queued or running.
"""

import dagster as dg

from archon_dagster.backup.jobs import backup_job
from archon_dagster.platform.usable_settings import settings_while_loading
from archon_dagster.schedules import one_tick
from archon_dagster.stores.base import STORES, StoreName


def _schedule(
    name: str, cron: str, stores: tuple[StoreName, ...], *, on: bool, portable: bool, description: str
) -> dg.ScheduleDefinition:
    wanted = {"kind": "scheduled", "stores": list(stores), "portable": portable}
    config = {"ops": {"take_backup": {"config": wanted}}}

    @dg.schedule(
        name=name,
        job=backup_job,
        cron_schedule=cron,
        execution_timezone=settings_while_loading().timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING if on else dg.DefaultScheduleStatus.STOPPED,
        description=description,
    )
    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        return one_tick(context, backup_job.name, config)

    return tick


SCHEDULES = [
    _schedule(
        "daily_backup",
        "0 3 * * *",
        STORES,
        on=True,
        portable=True,
        description="Everything, every night at 03:00, the vectors also in portable form.",
    ),
    _schedule(
        "hourly_backup",
        "0 * * * *",
        ("vectors", "graph"),
        on=False,
        portable=False,
        description="Vectors and graph every hour (RPO target 1 h). Off until switched on.",
    ),
    _schedule(
        "quarter_hourly_backup",
        "*/15 * * * *",
        ("relational",),
        on=False,
        portable=False,
        description="PostgreSQL every 15 minutes (RPO target 15 min). Off until switched on.",
    ),
]
