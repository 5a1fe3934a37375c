"""What the chapter Configuration adds to the code location."""

import dagster as dg

from archon_dagster.configuration.assets import changes
from archon_dagster.configuration.jobs import undo_configuration, update_configuration, validate_configuration
from archon_dagster.configuration.sensors import configuration_changed_by_hand

defs = dg.Definitions(
    assets=[changes],
    jobs=[validate_configuration, update_configuration, undo_configuration],
    sensors=[configuration_changed_by_hand],
)
