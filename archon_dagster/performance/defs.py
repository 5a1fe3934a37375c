"""What the chapter Performance Tuning adds to the code location."""

import dagster as dg

from archon_dagster.performance.assets import measure_performance
from archon_dagster.performance.jobs import apply_performance_tuning_job, performance_report_job

defs = dg.Definitions(assets=[measure_performance], jobs=[performance_report_job, apply_performance_tuning_job])
