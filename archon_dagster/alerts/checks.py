"""Which asset checks fail now, as Dagster's event log tells: of backups, of performance, of whatever else is checked.

The checks of services are not asked here: their evaluations are single samples, and the health monitor knows which of
them are confirmed, see :mod:`archon_dagster.alerts.health_checks`. A check that is being run, or that raised, reads as
planned and would hide the failure before it: only results count.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import dagster as dg
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)

from archon_dagster.alerts.failures import FailedCheck
from archon_dagster.health.checks import GROUP as HEALTH
from archon_dagster.repository.assets import GROUP as BACKUP

_PASSED = AssetCheckExecutionRecordStatus.SUCCEEDED
_RESULTS = {_PASSED, AssetCheckExecutionRecordStatus.FAILED}
_STREAK = 50  # results that are looked back on for when a check began to fail


def failing(
    instance: dg.DagsterInstance, repository: dg.RepositoryDefinition | None, page: Callable[[str], str | None]
) -> Iterator[FailedCheck]:
    """The checks whose newest result is a failure; ``page`` says where a run is seen."""
    keys = [key for key in _checks(repository) if key.asset_key.path[0] != HEALTH]
    newest = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    for key in keys:
        if key not in newest or newest[key].status == _PASSED:
            continue
        results = _results(instance, key)
        passed = next((place for place, result in enumerate(results) if not _failed(result)), len(results))
        if streak := results[:passed]:
            yield _described(instance, key, streak, page)


def failed_in(instance: dg.DagsterInstance, repository: dg.RepositoryDefinition | None, run_id: str) -> bool:
    """Whether a run failed a check of a backup."""
    keys = (key for key in _checks(repository) if key.asset_key.path[0] == BACKUP)
    results = (result for key in keys for result in _results(instance, key))
    return any(result.run_id == run_id and _failed(result) for result in results)


def _checks(repository: dg.RepositoryDefinition | None) -> list[dg.AssetCheckKey]:
    return sorted(repository.asset_graph.asset_check_keys) if repository else []


def _results(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> Sequence[AssetCheckExecutionRecord]:
    """The newest results, the newest first."""
    return instance.event_log_storage.get_asset_check_execution_history(key, _STREAK, status=_RESULTS)


def _failed(result: AssetCheckExecutionRecord) -> bool:
    return result.status == AssetCheckExecutionRecordStatus.FAILED


def _described(
    instance: dg.DagsterInstance,
    key: dg.AssetCheckKey,
    streak: Sequence[AssetCheckExecutionRecord],
    page: Callable[[str], str | None],
) -> FailedCheck:
    newest, first = streak[0], streak[-1]
    evaluation, run = newest.evaluation, instance.get_run_by_id(newest.run_id)
    detail = evaluation.metadata.get("detail") if evaluation else None
    said = str(detail.value) if detail else (evaluation.description or "") if evaluation else ""
    return FailedCheck(
        asset=key.asset_key.to_user_string(),
        check=key.name,
        severity="warning" if evaluation and evaluation.severity == dg.AssetCheckSeverity.WARN else "error",
        detail=said,
        since=datetime.fromtimestamp(first.create_timestamp, UTC),
        failures=len(streak),
        backup=run.tags.get("archon/backup") if run else None,
        link=page(newest.run_id),
    )
