"""The repository's face in Dagster: the catalogue, one partition for every backup that is in the repository."""

from collections.abc import Iterable

import dagster as dg

from archon_dagster.repository.catalogue import Entry

GROUP = "backup"
SEALED = dg.AssetKey(["backup", "sealed"])
CATALOGUE = dg.AssetKey(["backup", "catalogue"])
BACKUPS = dg.DynamicPartitionsDefinition(name="backups")

PARTITIONS_PAGE = "/assets/backup/catalogue?view=partitions"
"""Where the UI lists them; the overview of an asset shows no more than the last one."""

catalogue = dg.AssetSpec(
    CATALOGUE,
    group_name=GROUP,
    kinds={"archive"},
    partitions_def=BACKUPS,
    deps=[SEALED],
    description=(
        "Every backup in the repository, one partition each, also those taken without Dagster and those taken before "
        "a restore: open one to see what it holds, whether its checks passed, and how to restore it. They are all in "
        f"the tab [Partitions]({PARTITIONS_PAGE})."
    ),
    metadata={"all backups": dg.MetadataValue.url(PARTITIONS_PAGE)},
)


def known_backups(instance: dg.DagsterInstance) -> set[str]:
    """The backups that are partitions now. Ask *before* the repository is listed, so that none that is sealed in
    between can be taken for one that is gone."""
    return set(instance.get_dynamic_partitions(_name()))


def match_partitions(
    instance: dg.DagsterInstance, known: Iterable[str], entries: Iterable[Entry]
) -> tuple[list[str], list[str]]:
    """Make the partitions those of the backups that exist; which were added, and which removed.

    A backup whose manifest is damaged exists: it stays where an operator looks for it. Removing a partition keeps its
    history in the event log.
    """
    there = {entry.id for entry in entries if entry.state in ("complete", "damaged", "newer")}
    added, removed = sorted(there - set(known)), sorted(set(known) - there)
    if added:
        instance.add_dynamic_partitions(_name(), added)
    for backup in removed:
        instance.delete_dynamic_partition(_name(), backup)
    return added, removed


def _name() -> str:
    return BACKUPS.name or ""
