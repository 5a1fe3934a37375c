"""A health-check asset for every service of the catalogue, with its checks; materializing one looks at it now.

A failed check does not fail the run. Services that this platform does not have are left out.
"""

from collections.abc import Iterator

import dagster as dg

from archon_dagster.health.checks import GROUP, KEYS, SPECS, metadata, results
from archon_dagster.health.history import History
from archon_dagster.health.monitor import look_now
from archon_dagster.health.summary import overview_table
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.services import CATALOGUE
from archon_dagster.resources import Operations

BEFORE_DEPENDANTS = [service.name for service in sorted(CATALOGUE, key=lambda service: service.order)]
"""What is needed comes before who needs it: Dagster takes results in no other order."""


@dg.multi_asset(
    name="look_at_services",
    specs=[
        dg.AssetSpec(
            KEYS[service.name],
            group_name=GROUP,
            kinds={"external" if service.external else service.name.removeprefix("archon-")},
            deps=[KEYS[name] for name in service.depends_on],
            skippable=True,
            description=f"Is {service.title} well? The sensor `health_monitor` looks; materialize it to look now.",
        )
        for service in CATALOGUE
    ],
    check_specs=SPECS,
    can_subset=True,
    description="Ask every service at once, make the end-to-end test, compare counts and vector sizes.",
)
def look_at_services(
    context: dg.AssetExecutionContext, operations: Operations
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Look at everything once, on demand; see :mod:`archon_dagster.health.monitor`."""
    settings = operations.settings()
    found = look_now(settings, open_runtime(settings))
    history = History(settings.home)
    context.log.info(overview_table(found))
    for name in BEFORE_DEPENDANTS:
        if (sample := found.samples.get(name)) is None:
            continue
        if KEYS[name] in context.selected_asset_keys:
            yield dg.MaterializeResult(asset_key=KEYS[name], metadata=metadata(name, found, history))
        for result in results(sample, found.state.causes.get(name, ())):
            if dg.AssetCheckKey(KEYS[name], result.check_name or "") in context.selected_asset_check_keys:
                yield result
    for name, why in found.state.left_out.items():
        context.log.info(f"{name} was not asked: {why}")
