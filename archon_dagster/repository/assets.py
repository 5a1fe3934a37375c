"""The repository's face in Dagster: the catalogue, one partition for every sealed backup."""

import dagster as dg

GROUP = "backup"
SEALED = dg.AssetKey(["backup", "sealed"])
CATALOGUE = dg.AssetKey(["backup", "catalogue"])
BACKUPS = dg.DynamicPartitionsDefinition(name="backups")

catalogue = dg.AssetSpec(
    CATALOGUE,
    group_name=GROUP,
    kinds={"archive"},
    partitions_def=BACKUPS,
    deps=[SEALED],
    description="Every sealed backup, one partition each: open one to see what it holds and how to restore it.",
)
