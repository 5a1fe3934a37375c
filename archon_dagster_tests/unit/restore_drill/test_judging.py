"""What of a drill's failures is the backup's, and what only the drill's."""

from __future__ import annotations

from pathlib import Path

import pytest

from archon_dagster.errors import (
    ArchonError,
    Cancelled,
    ConfigurationError,
    DamagedBackup,
    RepositoryError,
    RestoreFailed,
    ServiceError,
    StoreError,
    StoreUnavailable,
    VersionMismatch,
)
from archon_dagster.restore_drill import judging, room
from archon_dagster.restore_drill.judging import running, speaks_against_the_backup
from archon_dagster_tests.unit.platform_double import SwitchRuntime


@pytest.mark.parametrize("kind", [DamagedBackup, RestoreFailed, StoreError])
def test_damage_a_difference_and_a_refusal_by_a_sound_server_are_the_backups(
    kind: type[ArchonError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "FLOOR", 1)
    runtime = SwitchRuntime()
    assert speaks_against_the_backup(kind("x"), runtime, running(runtime), (tmp_path,))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "kind", [StoreUnavailable, VersionMismatch, ServiceError, ConfigurationError, Cancelled, RepositoryError]
)
def test_what_is_around_the_backup_is_not(kind: type[ArchonError], tmp_path: Path) -> None:
    runtime = SwitchRuntime()
    assert not speaks_against_the_backup(kind("x"), runtime, running(runtime), (tmp_path,))  # type: ignore[arg-type]


def test_a_server_that_has_died_refuses_for_reasons_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "FLOOR", 1)
    runtime = SwitchRuntime()
    before = running(runtime)  # type: ignore[arg-type]
    runtime.stop("postgres")
    assert not speaks_against_the_backup(StoreError("x"), runtime, before, (tmp_path,))  # type: ignore[arg-type]


def test_a_full_disk_is_not_the_backups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = SwitchRuntime()
    monkeypatch.setattr(judging, "FLOOR", 2**62)
    assert not speaks_against_the_backup(StoreError("x"), runtime, running(runtime), (tmp_path,))  # type: ignore[arg-type]


def test_too_little_room_is_said_before_anything_is_begun(tmp_path: Path) -> None:
    room.require_room(tmp_path, 1)
    with pytest.raises(ConfigurationError, match=r"no room for a drill: it may take 4611686\.0 TB.*nothing was begun"):
        room.require_room(tmp_path, 2**62)
