"""Letting backups go on a small platform: what is needed stays, and what is relied on is proven first."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.definitions import defs
from archon_dagster.errors import ConfigurationError, DamagedBackup, RepositoryBusy
from archon_dagster.maintenance import retention
from archon_dagster.repository import removal
from archon_dagster.repository.retention import Policy
from archon_dagster_tests.unit.platform_double import Platform

ONE = Policy(last=1)


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return Platform(tmp_path)


def back_up(platform: Platform, times: int) -> list[str]:
    """Newest first."""
    taken = []
    for number in range(times):
        platform.stores["vectors"].put("changing", os.urandom(50).hex() + str(number))
        taken.append(take_backup(platform.context, BackupRequest(quiesce=False)).manifest.id)
    return taken[::-1]


def there(platform: Platform) -> list[str]:
    return [entry.id for entry in platform.repository.backups()]


def test_it_tells_what_would_go_and_touches_nothing(platform: Platform) -> None:
    backups = back_up(platform, 3)
    planned = retention.decide(platform.context, ONE)
    assert [row["decision"] for row in planned.rows()] == ["kept", "goes", "goes"]
    assert "last" in planned.rows()[0]["why"]
    assert planned.frees > 0
    assert there(platform) == backups


def test_it_removes_collects_and_says_so(platform: Platform, tmp_path: Path) -> None:
    backups = back_up(platform, 3)
    pruned = retention.prune(platform.context, ONE)
    assert pruned.removed == (backups[2], backups[1])
    assert there(platform) == backups[:1]
    assert "2 backups removed, 1 kept" in pruned.headline
    week = (datetime.now(UTC) - timedelta(days=7)).timestamp()
    for path in (tmp_path / "repository").rglob("*"):
        if path.is_file() and "locks" not in path.parts:
            os.utime(path, (week, week))
    again = retention.prune(platform.context, ONE)
    assert set(again.final) == set(backups[1:])
    assert again.collected.chunks > 0
    with platform.context.work() as work:
        assert platform.repository.verify(backups[0], work).passed


def test_what_a_restore_an_incident_or_a_mark_needs_stays(platform: Platform, tmp_path: Path) -> None:
    backups = back_up(platform, 6)
    (tmp_path / "restore.json").write_text(f'{{"backup": "{backups[1]}"')  # torn: it protects all the same
    (tmp_path / "targets" / "side").mkdir(parents=True)
    (tmp_path / "targets" / "side" / "restored.json").write_text(f'{{"backup": "{backups[2]}"}}')
    incident = tmp_path / "incidents" / "20261124T030000Z-7f3a" / "incident.json"
    incident.parent.mkdir(parents=True)
    incident.write_text(f"unreadable {backups[3]}")
    mark = removal.Keep(since=datetime.now(UTC), note="the audit")
    removal.mark(platform.repository.backend, backups[4], mark)
    pruned = retention.prune(platform.context, ONE)
    assert pruned.removed == (backups[5],)
    why = {row["backup"]: row["why"] for row in pruned.planned.rows()}
    assert why[backups[1]].startswith("a restore used it")
    assert "7f3a" in why[backups[3]]
    assert why[backups[4]] == "marked to be kept"


def test_nothing_goes_while_what_would_be_relied_on_lacks_a_chunk(platform: Platform, tmp_path: Path) -> None:
    backups = back_up(platform, 2)
    newest = platform.repository.resolve(backups[0])
    chunk = newest.of_store("vectors")[0].chunks[0].sha256
    (tmp_path / "repository" / "chunks" / chunk[:2] / chunk).unlink()
    with pytest.raises(DamagedBackup, match=f"{backups[0]}.*lacks 1 chunk"):
        retention.prune(platform.context, ONE)
    assert there(platform) == backups


def test_a_failed_newest_backup_is_not_what_the_older_ones_go_for(platform: Platform) -> None:
    backups = back_up(platform, 2)
    for name in [path.name for path in platform.stores["vectors"].folder.iterdir()]:
        (platform.stores["vectors"].folder / name).unlink()
    empty = take_backup(platform.context, BackupRequest(quiesce=False)).manifest.id  # a check fails
    pruned = retention.prune(platform.context, ONE)
    assert there(platform) == [empty, backups[0]]
    assert pruned.removed == (backups[1],)


def test_it_does_not_run_beside_a_backup(platform: Platform) -> None:
    back_up(platform, 2)
    with platform.repository.lock("backup (manual)"), pytest.raises(RepositoryBusy):
        retention.prune(platform.context, ONE)


def test_a_removed_one_is_put_back(platform: Platform) -> None:
    backups = back_up(platform, 2)
    retention.prune(platform.context, ONE)
    retention.put_back(platform.context, backups[1])
    assert there(platform) == backups


def test_numbers_of_the_settings_and_of_the_moment(platform: Platform) -> None:
    assert retention.policy_of(platform.settings, {"daily": 5}).daily == 5
    assert retention.policy_of(platform.settings).minimum == platform.settings.retention_minimum


@pytest.mark.parametrize(
    ("keep", "named"),
    [({"dayly": 7}, "dayly: 7"), ({"minimum": 1}, "minimum: 1"), ({"last": 3, "daily": -1}, "daily: -1")],
)
def test_a_rule_that_there_is_not_and_a_number_below_nothing_are_refused_by_the_job_too(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: dict[str, int], named: str
) -> None:
    backups = back_up(platform, 3)
    with pytest.raises(ConfigurationError, match=f"less than 0: {named}; nothing was touched"):
        retention.policy_of(platform.settings, keep)
    monkeypatch.setenv("ARCHON_HOME", str(tmp_path))
    monkeypatch.setenv("ARCHON_RUNTIME", "processes")
    config = {"ops": {"prune": {"config": {"confirm": retention.CONFIRMATION, "keep": keep}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        job = defs.resolve_job_def("retention")
        run = job.execute_in_process(config, instance=instance, raise_on_error=False)
    (failed,) = run.get_step_failure_events()
    reason = failed.step_failure_data.user_failure_data
    assert reason is not None and named in (reason.description or "")
    assert there(platform) == backups
