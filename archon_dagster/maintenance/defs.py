"""What the chapter Maintenance adds to the code location."""

import dagster as dg

from archon_dagster.maintenance.jobs import security_updates_job, weekly_maintenance_job
from archon_dagster.maintenance.schedules import weekly_maintenance

defs = dg.Definitions(jobs=[weekly_maintenance_job, security_updates_job], schedules=[weekly_maintenance])
