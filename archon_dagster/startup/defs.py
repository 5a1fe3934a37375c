"""What the chapter Startup adds to the code location."""

import dagster as dg

from archon_dagster.startup.jobs import cold_start_job, startup_job

defs = dg.Definitions(jobs=[startup_job, cold_start_job])
