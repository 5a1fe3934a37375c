"""What the chapter Scaling adds to the code location."""

import dagster as dg

from archon_dagster.scaling.jobs import apply_resource_profile_job, scale_search_job
from archon_dagster.scaling.sensors import search_autoscaler

defs = dg.Definitions(jobs=[scale_search_job, apply_resource_profile_job], sensors=[search_autoscaler])
