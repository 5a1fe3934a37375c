"""What the chapter of the restore drills adds to the code location."""

import dagster as dg

from archon_dagster.restore_drill.jobs import remove_drill_leftovers_job, restore_drill_job
from archon_dagster.restore_drill.schedules import remove_drill_leftovers, restore_drill

defs = dg.Definitions(
    jobs=[restore_drill_job, remove_drill_leftovers_job], schedules=[restore_drill, remove_drill_leftovers]
)
