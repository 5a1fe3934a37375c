"""What the stores add to the code location."""

import dagster as dg

from archon_dagster.stores.assets import SPECS
from archon_dagster.stores.jobs import observe_live_data

defs = dg.Definitions(assets=SPECS, jobs=[observe_live_data])
