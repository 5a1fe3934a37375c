"""The changes of the platform's configuration as an asset: when, what (secrets masked), how it ended."""

import dagster as dg

from archon_dagster.configuration.history import Record
from archon_dagster.configuration.summary import record_page

GROUP = "configuration"
CHANGES = dg.AssetKey(["configuration", "changes"])

changes = dg.AssetSpec(
    CHANGES,
    group_name=GROUP,
    kinds={"file"},
    deps=[dg.AssetKey(["platform", "configuration"])],
    description=(
        "Every change of the platform's `.env`: when, what changed with secrets masked, which services were replaced, "
        "and whether it was kept. `archon config history` lists the same."
    ),
)


def materialization(record: Record) -> dg.AssetMaterialization:
    """A change as it has ended."""
    return dg.AssetMaterialization(
        CHANGES,
        metadata={
            "summary": dg.MetadataValue.md(record_page(record)),
            "change": dg.MetadataValue.text(record.id),
            "result": dg.MetadataValue.text(record.result),
            "kind": dg.MetadataValue.text(record.kind),
            "at": dg.MetadataValue.timestamp(record.at),
            "seconds": dg.MetadataValue.float(record.seconds),
            "variables changed": dg.MetadataValue.int(len(record.changed)),
        },
    )
