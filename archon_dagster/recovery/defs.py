"""What the chapter Recovery adds to the code location."""

import dagster as dg

from archon_dagster.recovery.assets import incidents
from archon_dagster.recovery.jobs import JOBS
from archon_dagster.recovery.sensors import disaster_recovery

defs = dg.Definitions(assets=[incidents], jobs=JOBS, sensors=[disaster_recovery])
