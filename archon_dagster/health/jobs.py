"""The job ``health``."""

import dagster as dg

from archon_dagster.health.checks import GROUP
from archon_dagster.resources import EXECUTOR

health_job = dg.define_asset_job(
    "health",
    selection=dg.AssetSelection.groups(GROUP),
    executor_def=EXECUTOR,
    tags={"dagster/max_runtime": "120"},
    description=(
        "Look at every service now: reachable, ready, fast, functional, consistent. Launch it as it is. Nothing is "
        "changed; the end-to-end test indexes one marked document and deletes it. Failed checks do not fail the run."
    ),
)
"""On-demand; the sensor looks by itself."""
