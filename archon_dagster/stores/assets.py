"""The live data as assets: what the platform holds now, observed, never made by Dagster."""

import dagster as dg

from archon_dagster.platform.services import ARCHON_COLLECTIONS
from archon_dagster.stores.base import Description, StoreName

GROUP = "live_data"
GRAPH, DATABASE, CONFIGURATION = (
    dg.AssetKey(["memgraph", "graph"]),
    dg.AssetKey(["postgres", "database"]),
    dg.AssetKey(["platform", "configuration"]),
)
COLLECTIONS = {name: dg.AssetKey(["qdrant", name]) for name in ARCHON_COLLECTIONS}

BY_STORE: dict[StoreName, list[dg.AssetKey]] = {
    "vectors": list(COLLECTIONS.values()),
    "graph": [GRAPH],
    "relational": [DATABASE],
    "configuration": [CONFIGURATION],
}

SPECS = [
    *(
        dg.AssetSpec(key, group_name=GROUP, kinds={"qdrant"}, description=f"The live Qdrant collection `{name}`.")
        for name, key in COLLECTIONS.items()
    ),
    dg.AssetSpec(GRAPH, group_name=GROUP, kinds={"memgraph"}, description="The live knowledge graph."),
    dg.AssetSpec(DATABASE, group_name=GROUP, kinds={"postgres"}, description="The live PostgreSQL database."),
    dg.AssetSpec(
        CONFIGURATION,
        group_name=GROUP,
        kinds={"file"},
        description="`.env`, compose files and `config/` of the platform, as they are on disk.",
    ),
]


def metadata(description: Description, key: dg.AssetKey) -> dict[str, dg.MetadataValue]:
    """What an operator wants to see of a live store."""
    counts = description.counts
    if key in COLLECTIONS.values():
        counts = {"points": counts.get(key.path[-1], 0)}
    found: dict[str, dg.MetadataValue] = {"server": dg.MetadataValue.text(description.version)}
    found |= {_label(part): dg.MetadataValue.int(count) for part, count in counts.items()}
    if description.size_bytes is not None and description.store != "vectors":
        found["size (bytes)"] = dg.MetadataValue.int(description.size_bytes)
    return found


def _label(part: str) -> str:
    return part.removeprefix("public.")
