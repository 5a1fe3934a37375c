"""The Dagster code location: the chapters, merged, and the one resource they share."""

import warnings

import dagster as dg

from archon_dagster.alerts import defs as alerts
from archon_dagster.backup import defs as backup
from archon_dagster.configuration import defs as configuration
from archon_dagster.health import defs as health
from archon_dagster.maintenance import defs as maintenance
from archon_dagster.performance import defs as performance
from archon_dagster.recovery import defs as recovery
from archon_dagster.resources import Operations
from archon_dagster.restore import defs as restore
from archon_dagster.restore_drill import defs as restore_drill
from archon_dagster.scaling import defs as scaling
from archon_dagster.startup import defs as startup
from archon_dagster.stores import defs as stores

# Dagster binds the resources to a sensor's jobs by copying the sensor, and warns of a parameter of its own doing so
warnings.filterwarnings(
    "ignore", message="Parameter `owners` of initializer `SensorDefinition", category=dg.BetaWarning
)

defs = dg.Definitions.merge(
    stores.defs,
    startup.defs,
    configuration.defs,
    backup.defs,
    restore.defs,
    restore_drill.defs,
    health.defs,
    alerts.defs,
    recovery.defs,
    maintenance.defs,
    scaling.defs,
    performance.defs,
    dg.Definitions(resources={"operations": Operations()}),
)
