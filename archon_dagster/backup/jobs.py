"""The job ``backup``."""

import dagster as dg

from archon_dagster.repository.assets import CATALOGUE, GROUP
from archon_dagster.resources import EXECUTOR

backup_job = dg.define_asset_job(
    "backup",
    selection=dg.AssetSelection.groups(GROUP) - dg.AssetSelection.assets(CATALOGUE),
    executor_def=EXECUTOR,
    tags={"dagster/max_runtime": "14400"},
    description=(
        "Back up Qdrant, the graph, PostgreSQL and the configuration in one consistent window, then verify it. "
        "Launch it as it is: the defaults back up everything. Nothing live is changed; the services that write are "
        "held still for the seconds of the capture."
    ),
)
