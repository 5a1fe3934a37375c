"""The Dagster code location: the chapters, merged, and the one resource they share."""

import dagster as dg

from archon_dagster.backup import defs as backup
from archon_dagster.resources import Operations
from archon_dagster.restore import defs as restore
from archon_dagster.stores import defs as stores

defs = dg.Definitions.merge(
    stores.defs, backup.defs, restore.defs, dg.Definitions(resources={"operations": Operations()})
)
