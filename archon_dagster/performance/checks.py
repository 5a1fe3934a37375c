"""A report as asset checks, and as what an asset shows."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from archon_dagster.performance.measures import AREAS, Area, Reading
from archon_dagster.performance.report import Report
from archon_dagster.performance.summary import NUMBERS, all_rows, change_text, page

GROUP = "performance"
KEYS: dict[Area, dg.AssetKey] = {area: dg.AssetKey(["performance", area]) for area in AREAS}
DESCRIPTIONS: dict[Area, str] = {
    "response_times": "How fast the services answer: a sample of each, and searches that must find something.",
    "vectors": "Qdrant's collections: status, segments, index, size, searches by stored vectors.",
    "graph": "The graph server: counts, memory, answers.",
    "database": "PostgreSQL: cache hits, connections, dead rows, answers.",
    "services": "Processor and memory of each service of this platform.",
    "host": "Processors, memory, swap and disks of the machine.",
}
WARN = dg.AssetCheckSeverity.WARN
TUNING_HOLDS = dg.AssetCheckSpec(
    "tuning_holds", asset=KEYS["vectors"], description="No service has undone what was tuned."
)

SPECS = [
    *(dg.AssetCheckSpec("not_worse", asset=key, description="No number is worse than the baseline's, beyond noise.")
      for key in KEYS.values()),
    *(dg.AssetCheckSpec("measured", asset=key, description="Everything could be measured, and every answer was good.")
      for key in KEYS.values()),
    TUNING_HOLDS,
]  # fmt: skip


def results(found: Report, *, tuned: bool) -> Iterator[dg.AssetCheckResult]:
    """What is known: without a baseline nothing is said of worse or not, without tuning nothing of its holding."""
    for area, key in KEYS.items():
        missing = [f"{one.subject}: {one.why}" for one in found.measurement.missing if one.area == area]
        yield _result(key, "measured", missing, f"{len(found.measurement.of(area))} numbers")
        if found.baseline is not None:
            worse = [change_text(one) for one in found.comparison.worse if one.reading.area == area]
            compared = sum(one.reading.area == area for one in found.comparison.changes)
            yield _result(key, "not_worse", worse, f"{compared} numbers compared with the baseline")
    if tuned:
        said = [f"{one.sentence}; {one.todo}" for one in found.drifts]
        yield _result(KEYS["vectors"], TUNING_HOLDS.name, said, "every tuned value is there")


def metadata(found: Report, area: Area) -> dict[str, Any]:
    """A table, and every number by itself: Dagster plots them from run to run."""
    columns = [dg.TableColumn(name) for name in NUMBERS]
    records = [dg.TableRecord(dict(zip(NUMBERS, row, strict=True))) for row in all_rows(found, area)]
    shown: dict[str, Any] = {"numbers": dg.MetadataValue.table(records, dg.TableSchema(columns))}
    if area == "response_times":
        shown["report"] = dg.MetadataValue.md(page(found))
    return shown | {_label(one): dg.MetadataValue.float(float(one.value)) for one in found.measurement.of(area)}


def _label(one: Reading) -> str:
    return f"{one.subject} {one.name}" + (f" ({one.measure.unit})" if one.measure.unit else "")


def _result(key: dg.AssetKey, name: str, wrong: list[str], fine: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=name,
        passed=not wrong,
        severity=WARN,
        description="; ".join(wrong) or fine,
        metadata={"what": dg.MetadataValue.md("\n".join(f"- {one}" for one in wrong) or fine)},
    )
