"""What the chapter Alerts adds to the code location."""

import dagster as dg

from archon_dagster.alerts.sensors import SENSORS

defs = dg.Definitions(sensors=SENSORS)
