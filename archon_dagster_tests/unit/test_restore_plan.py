"""What a plan says of a restore: what changes, what is not known, how long it takes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.repository.manifest import Manifest
from archon_dagster.restore import measured
from archon_dagster.restore.plan import RestorePlan, make_plan
from archon_dagster.restore.request import RestoreResult
from archon_dagster.stores.base import STORES, StoreName
from archon_dagster_tests.unit.platform_double import FolderStore, Platform, failing, fingerprint_of


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return Platform(tmp_path)


def back_up(platform: Platform) -> Manifest:
    return take_backup(platform.context, BackupRequest(quiesce=False)).manifest


def effects(plan: RestorePlan, store: str) -> dict[str, str]:
    return {change.part: change.effect for change in plan.changes if change.store == store}


def test_a_store_that_does_not_answer_is_not_said_to_come_back(platform: Platform) -> None:
    back_up(platform)
    platform.stores["graph"].fault = failing("describe")
    plan = make_plan(platform.context, "latest")
    assert effects(plan, "graph") == {"records": "what is there now is not known"}
    assert effects(plan, "vectors") == {"records": "is replaced"}
    assert set(plan.unreachable) == {"graph"}


def test_a_platform_that_is_down_is_planned_for_with_what_to_start_first(platform: Platform) -> None:
    back_up(platform)
    platform.runtime.states.clear()
    plan = make_plan(platform.context, "latest")
    assert plan.unreachable["vectors"] == "qdrant is not running"
    assert plan.start_first == "qdrant, memgraph, postgres: archon sandbox up"


class Roles(FolderStore):
    """A relational store whose backup also counts roles, which the live database does not."""

    def export(self, sink, work):  # type: ignore[no-untyped-def]
        super().export(sink, work)
        with sink.artifact("relational", "postgres/globals", "globals", media_type="application/sql", cut="whole") as o:
            o.write(b"somebody\0a role\n")
            o.counts, o.fingerprint = {"roles": 1}, fingerprint_of("relational", {"somebody": b"a role"})


def test_roles_are_explained_and_not_counted_like_a_table(platform: Platform, tmp_path: Path) -> None:
    platform.context.stores["relational"] = Roles("relational", tmp_path / "live" / "with-roles")
    back_up(platform)
    plan = make_plan(platform.context, "latest")
    assert set(effects(plan, "relational")) == {"records"}
    assert any("roles" in note and "stay as they are" in note for note in plan.notes)


def took(platform: Platform, manifest: Manifest, seconds: float, *stores: StoreName, unhealthy: bool = False) -> None:
    result = RestoreResult(manifest, stores, rto=seconds, unhealthy={"archon-search": "down"} if unhealthy else {})
    measured.record(platform.repository, result)


def test_the_duration_is_that_of_the_last_restore_of_the_same_stores(platform: Platform) -> None:
    backup = back_up(platform)
    took(platform, backup, 100.0, *STORES)
    took(platform, backup, 110.0, *STORES)
    took(platform, backup, 1.0, "configuration")
    assert make_plan(platform.context, "latest").estimate == 110.0
    assert make_plan(platform.context, "latest", ("configuration",)).estimate == 1.0


def test_what_was_never_measured_is_not_estimated(platform: Platform) -> None:
    backup = back_up(platform)
    took(platform, backup, 1.0, "configuration")
    took(platform, backup, 120.0, "graph", unhealthy=True)  # most of it: waiting in vain for a service
    assert make_plan(platform.context, "latest").estimate is None
    assert make_plan(platform.context, "latest", ("graph",)).estimate is None


def test_a_measured_duration_is_kept_beside_the_backup(platform: Platform) -> None:
    backup, before = back_up(platform), datetime.now(UTC)
    took(platform, backup, 12.5, "graph", "vectors")
    (check,) = [check for check in platform.repository.checks(backup.id) if check.name == measured.CHECK]
    assert check.passed
    assert check.seconds == 12.5
    assert check.time >= before
