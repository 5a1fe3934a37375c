"""The performance report as assets, one for each part of the platform; materializing them measures now."""

from collections.abc import Iterator

import dagster as dg
from pydantic import Field

from archon_dagster.performance.baseline import renew, take_report
from archon_dagster.performance.checks import DESCRIPTIONS, GROUP, KEYS, SPECS, metadata, results
from archon_dagster.performance.summary import notes
from archon_dagster.performance.tuning import journal
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.resources import Operations, run_op


class ReportConfig(dg.Config):
    """What becomes of the measurement. The default only compares it."""

    renew_baseline: bool = Field(default=False, description="Make it the baseline, unless it is worse.")
    accept: bool = Field(default=False, description="Make it the baseline although it is worse.")


@dg.multi_asset(
    name="measure_performance",
    specs=[
        dg.AssetSpec(key, group_name=GROUP, description=DESCRIPTIONS[area], skippable=True)
        for area, key in KEYS.items()
    ],
    check_specs=SPECS,
    can_subset=True,
    description="Ask every part often enough to say something, within bounds; compare with the baseline.",
)
def measure_performance(
    context: dg.AssetExecutionContext, config: ReportConfig, operations: Operations
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Measure; see :mod:`archon_dagster.performance.measuring`. Changes nothing of the platform."""
    settings = operations.settings()
    found = run_op(context, lambda cancel, report: take_report(settings, open_runtime(settings), cancel, report))
    if config.renew_baseline or config.accept:
        found = renew(settings, found, accept=config.accept)
    context.log.info(found.headline)
    for note in notes(found):
        context.log.info(note)
    for area, key in KEYS.items():
        if key in context.selected_asset_keys and found.measurement.of(area):
            yield dg.MaterializeResult(asset_key=key, metadata=metadata(found, area))
    for result in results(found, tuned=bool(journal.expected(settings.home))):
        if dg.AssetCheckKey(result.asset_key or KEYS["host"], result.check_name or "") in (
            context.selected_asset_check_keys
        ):
            yield result
