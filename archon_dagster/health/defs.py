"""What the chapter Health adds to the code location."""

import dagster as dg

from archon_dagster.health.assets import look_at_services
from archon_dagster.health.jobs import health_job
from archon_dagster.health.sensors import health_monitor

defs = dg.Definitions(assets=[look_at_services], jobs=[health_job], sensors=[health_monitor])
