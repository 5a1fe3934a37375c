"""The Dagster code location: the chapters, merged, and the one resource they share."""

import dagster as dg

from archon_dagster.backup.defs import defs as backup
from archon_dagster.resources import Operations
from archon_dagster.restore.defs import defs as restore
from archon_dagster.stores.defs import defs as stores

defs = dg.Definitions.merge(stores, backup, restore, dg.Definitions(resources={"operations": Operations()}))
