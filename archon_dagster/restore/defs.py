"""What the chapter Restore adds to the code location."""

import dagster as dg

from archon_dagster.restore.jobs import restore_job

defs = dg.Definitions(jobs=[restore_job])
