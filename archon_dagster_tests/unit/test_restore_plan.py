"""What a plan says of a restore: what changes, what is not known, how long it takes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.repository.manifest import Manifest
from archon_dagster.restore import measured
from archon_dagster.restore.plan import RestorePlan, make_plan
from archon_dagster.restore.request import RestoreRequest, RestoreResult
from archon_dagster.restore.restore import restore_backup
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


def measured_of(platform: Platform, stores: Sequence[StoreName], seconds: dict[str, float]) -> None:
    """A restore of some stores, in which each took a second for every thousand bytes."""
    backup = platform.repository.resolve("latest")
    steps = {f"restore {name}": 1.0 for name in stores} | seconds
    moved = dict.fromkeys(stores, 1000)
    measured.record(platform.repository, RestoreResult(backup, tuple(stores), seconds=steps, moved=moved))


def planned(platform: Platform, *only: StoreName) -> tuple[float, str]:
    plan = make_plan(platform.context, "latest", only)
    assert plan.estimate is not None
    moving = sum(artifact.size for name in plan.stores for artifact in plan.backup.of_store(name)) / 1000
    return plan.estimate - moving, plan.estimated_from


AROUND = {
    "verify the backup": 4.0, "start the stores": 0.5, "compare versions": 1.0, "stop the writers": 0.5,
    "safety backup": 10.0, "compare fingerprints": 8.0, "start": 3.0,
}  # fmt: skip


def test_a_duration_at_the_rates_of_others_has_the_steps_around_it_and_names_them(platform: Platform) -> None:
    back_up(platform)
    measured_of(platform, ("graph", "vectors"), AROUND)
    around, how = planned(platform, "graph")
    assert around == pytest.approx(sum(AROUND.values()))
    assert "27.0 s for what is around it" in how and "without" not in how
    assert all(step in how for step in AROUND)


def test_a_step_that_was_never_measured_is_named_as_missing(platform: Platform) -> None:
    """A record of an older version has none of them."""
    back_up(platform)
    measured_of(platform, ("graph", "vectors"), {})
    around, how = planned(platform, "graph")
    assert around == pytest.approx(0.0)
    assert how.endswith(f"without what was never measured: {', '.join(AROUND)}")
    measured_of(platform, ("graph", "vectors"), {"verify the backup": 4.0})
    around, how = planned(platform, "graph")
    assert around == pytest.approx(4.0)
    assert "took then: verify the backup;" in how and how.endswith("safety backup, compare fingerprints, start")


def test_restores_of_other_stores_say_nothing_of_the_steps_around_this_one(platform: Platform) -> None:
    back_up(platform)
    measured_of(platform, ("graph", "vectors"), {"safety backup": 10.0})
    for _ in range(3):
        measured_of(platform, ("configuration",), {"safety backup": 0.1})
    assert planned(platform, "graph")[0] == pytest.approx(10.0)


def test_waiting_in_vain_for_a_service_is_no_step_of_the_next_restore(platform: Platform) -> None:
    backup = back_up(platform)
    seconds = {"restore graph": 1.0, "safety backup": 10.0, "start": 120.0}
    result = RestoreResult(backup, ("graph", "vectors"), seconds=seconds, moved={"graph": 1000, "vectors": 0})
    result.unhealthy["archon-search"] = "down"
    measured.record(platform.repository, result)
    around, how = planned(platform, "graph")
    assert around == pytest.approx(10.0) and how.endswith("compare fingerprints, start")


def test_a_restore_that_starts_nobody_is_not_said_to_take_the_time_for_it(platform: Platform) -> None:
    back_up(platform)
    measured_of(platform, ("graph", "vectors"), AROUND)
    platform.runtime.stop("archon-search")
    around, how = planned(platform, "graph")
    assert around == pytest.approx(24.0) and ", start" not in how.replace("start the stores", "")


def test_a_real_restore_leaves_every_step_for_the_estimate_of_another(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names of the steps and those the estimate looks for are the same."""
    # the small platform's services are switches: there is nothing to probe
    monkeypatch.setattr("archon_dagster.restore.restore.wait_until_ready", lambda *_, **__: {})
    back_up(platform)
    result = restore_backup(platform.context, RestoreRequest("latest", "RESTORE"))
    assert set(measured.AROUND) < set(result.seconds)
    result.seconds |= dict.fromkeys((f"restore {name}" for name in STORES), 1.0)  # too fast here to be a rate
    measured.record(platform.repository, result)
    assert "what was never measured" not in make_plan(platform.context, "latest", ("graph",)).estimated_from
