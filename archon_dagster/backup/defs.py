"""What the chapter Backup adds to the code location."""

import dagster as dg

from archon_dagster.backup.assets import take_backup_asset
from archon_dagster.backup.jobs import backup_job
from archon_dagster.backup.schedules import SCHEDULES
from archon_dagster.repository.assets import catalogue

defs = dg.Definitions(assets=[take_backup_asset, catalogue], jobs=[backup_job], schedules=SCHEDULES)
