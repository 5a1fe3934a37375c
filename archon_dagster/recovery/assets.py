"""The incidents as an asset: one partition each, with the draft of its post-mortem."""

from datetime import UTC, datetime

import dagster as dg

from archon_dagster.recovery.book import Book
from archon_dagster.recovery.incident import Incident
from archon_dagster.recovery.report import evidence_of, numbers, report

GROUP = "recovery"
INCIDENTS = dg.DynamicPartitionsDefinition(name="incidents")
KEY = dg.AssetKey(["recovery", "incidents"])

incidents = dg.AssetSpec(
    KEY,
    group_name=GROUP,
    kinds={"markdown"},
    partitions_def=INCIDENTS,
    description=(
        "Everything that broke and what was done about it, one partition each: open one for its timeline, the times to "
        "detect and to recover against the objective, and the draft of the post-mortem."
    ),
)


def materialization(book: Book, incident: Incident) -> dg.AssetMaterialization:
    """The incident as it stands now."""
    text = report(incident, datetime.now(UTC), evidence_of(book, incident))
    return dg.AssetMaterialization(
        KEY,
        partition=incident.id,
        metadata={
            "report": dg.MetadataValue.md(text),
            "directory": dg.MetadataValue.path(str(book.directory / incident.id)),
            **numbers(incident),
        },
    )


def record(context: dg.OpExecutionContext, book: Book, incident: Incident) -> None:
    """Make the incident a partition and log how it stands."""
    context.instance.add_dynamic_partitions("incidents", [incident.id])
    context.log_event(materialization(book, incident))
