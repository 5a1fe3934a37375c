"""What the chapter Maintenance adds to the code location."""

import dagster as dg

from archon_dagster.maintenance.jobs import (
    retention_job,
    security_updates_job,
    trim_event_log_job,
    weekly_maintenance_job,
)
from archon_dagster.maintenance.schedules import daily_trim, retention, weekly_maintenance

defs = dg.Definitions(
    jobs=[weekly_maintenance_job, security_updates_job, retention_job, trim_event_log_job],
    schedules=[weekly_maintenance, retention, daily_trim],
)
