"""The listing says what is there, what is wrong with it, and what is gone."""

from __future__ import annotations

import json
import os
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from archon_dagster.repository import manifest_file
from archon_dagster.repository.check_state import FINISHED, CheckState
from archon_dagster.repository.repository import Repository
from archon_dagster.repository.verification import CheckRecord
from archon_dagster_tests.unit.repository.conftest import NOON, Clock, back_up


def found(repository: Repository, backup_id: str, name: str, *, passed: bool, minutes: int = 0) -> None:
    time = NOON + timedelta(minutes=minutes)
    repository.record(backup_id, CheckRecord(name=name, passed=passed, detail="as told", time=time))


def record_file(root: Path, backup_id: str, name: str) -> Path:
    (path,) = (root / "verifications" / backup_id).glob(f"*-{name}.json")
    return path


def state(repository: Repository, backup_id: str) -> CheckState | None:
    return next(entry.checks for entry in repository.backups(checks=True) if entry.id == backup_id)


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ({}, CheckState("not_checked")),
        ({FINISHED: True, "digests": True}, CheckState("passed")),
        ({"digests": True}, CheckState("passed")),
        ({FINISHED: False}, CheckState("not_finished")),
        ({FINISHED: True, "digests": False, "readable": True}, CheckState("failed", ("digests",))),
        ({FINISHED: False, "digests": False}, CheckState("failed", ("digests",))),
    ],
)
def test_a_listing_tells_what_the_checks_come_to(
    repository: Repository, root: Path, records: dict[str, bool], expected: CheckState
) -> None:
    backup = back_up(repository, {"a": b"x"})
    for name, passed in records.items():
        found(repository, backup.id, name, passed=passed)
    assert state(Repository.open(str(root)), backup.id) == expected


def test_a_new_result_is_seen_although_the_old_ones_were_remembered(repository: Repository, root: Path) -> None:
    clock = Clock()
    backup = back_up(repository, {"a": b"x"}, clock=clock)
    found(repository, backup.id, "digests", passed=True)
    back_up(repository, {"a": b"x"}, clock=clock)  # saves what is known for the next process
    saved = json.loads((root / "cache" / "backups.json").read_bytes())
    assert saved[backup.id]["checks"]["state"] == "passed"
    found(repository, backup.id, "digests", passed=False, minutes=1)
    for other in (repository, Repository.open(str(root))):
        assert state(other, backup.id) == CheckState("failed", ("digests",))


def test_results_that_were_remembered_are_not_read_again(repository: Repository, root: Path) -> None:
    clock = Clock()
    backup = back_up(repository, {"a": b"x"}, clock=clock)
    found(repository, backup.id, "digests", passed=True)
    back_up(repository, {"a": b"x"}, clock=clock)
    path = record_file(root, backup.id, "digests")
    before = path.stat()
    with path.open("r+b") as file:  # the same length, in place: only its time could tell
        file.write(b"?")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert state(Repository.open(str(root)), backup.id) == CheckState("passed")


@pytest.mark.parametrize("spoil", ["garbage", "empty", "pipe", "huge"])
def test_a_record_that_cannot_be_read_is_named_and_its_backup_is_not_good(
    repository: Repository, root: Path, spoil: str
) -> None:
    backup = back_up(repository, {"a": b"x"})
    found(repository, backup.id, "digests", passed=True)
    found(repository, backup.id, "counts", passed=True)
    path = record_file(root, backup.id, "counts")
    if spoil == "pipe":
        path.unlink()
        os.mkfifo(path)
    elif spoil == "huge":
        with path.open("r+b") as file:
            file.truncate(1 << 30)
    else:
        path.write_text({"garbage": '{"name": "cou', "empty": ""}[spoil])
    seen = state(Repository.open(str(root)), backup.id)
    assert seen == CheckState("unreadable", (), (f"verifications/{backup.id}/{path.name}",))
    assert str(seen) == f"its record verifications/{backup.id}/{path.name} cannot be read"


def test_an_unreadable_record_does_not_hide_a_failed_check(repository: Repository, root: Path) -> None:
    backup = back_up(repository, {"a": b"x"})
    found(repository, backup.id, "digests", passed=False)
    found(repository, backup.id, "counts", passed=True)
    record_file(root, backup.id, "counts").write_text("garbage")
    seen = state(repository, backup.id)
    assert seen is not None
    assert (seen.state, seen.failed, len(seen.unreadable)) == ("failed", ("digests",), 1)


def test_a_broken_failed_record_does_not_make_a_bad_backup_good(repository: Repository, root: Path) -> None:
    backup = back_up(repository, {"a": b"x"})
    found(repository, backup.id, "counts", passed=True)
    found(repository, backup.id, "counts", passed=False, minutes=1)
    newest = max((root / "verifications" / backup.id).iterdir())
    newest.write_text("garbage")
    assert state(repository, backup.id) == CheckState("unreadable", (), (f"verifications/{backup.id}/{newest.name}",))


def test_a_newer_result_of_the_same_check_makes_up_for_an_unreadable_one(repository: Repository, root: Path) -> None:
    backup = back_up(repository, {"a": b"x"})
    found(repository, backup.id, "digests", passed=True)
    record_file(root, backup.id, "digests").write_text("garbage")
    found(repository, backup.id, "digests", passed=True, minutes=1)
    assert state(repository, backup.id) == CheckState("passed")


def test_a_record_that_is_readable_again_counts_again(repository: Repository, root: Path) -> None:
    backup = back_up(repository, {"a": b"x"})
    found(repository, backup.id, "counts", passed=True)
    path = record_file(root, backup.id, "counts")
    (root / "aside").write_bytes(path.read_bytes())
    path.write_text("garbage")
    assert state(repository, backup.id) != CheckState("passed")
    path.write_bytes((root / "aside").read_bytes())
    assert state(repository, backup.id) == CheckState("passed")


def test_a_record_of_an_impossible_time_is_no_reason_to_fail(repository: Repository, root: Path) -> None:
    backup = back_up(repository, {"a": b"x"})
    found(repository, backup.id, "counts", passed=True)
    folder = root / "verifications" / backup.id
    (folder / "99999999T999999.999999Z-counts.json").write_text("garbage")
    (folder / "notes (1).txt").write_text("mine")
    seen = state(repository, backup.id)
    assert seen is not None
    assert seen.state == "unreadable"


def test_a_deleted_manifest_is_named(repository: Repository, root: Path) -> None:
    clock = Clock()
    kept, lost = (back_up(repository, {"a": b"x"}, clock=clock) for _ in range(2))
    found(repository, lost.id, "digests", passed=True)
    (root / "backups" / f"{lost.id}.json").unlink()
    for other in (repository, Repository.open(str(root))):
        missing, complete = other.backups()
        assert (missing.id, missing.state, missing.summary) == (lost.id, "missing", None)
        assert f"manifest backups/{lost.id}.json is missing" in missing.detail
        assert (complete.id, complete.state) == (kept.id, "complete")
    assert repository.resolve("latest") == kept


def test_a_backup_that_was_never_sealed_is_not_called_missing(repository: Repository) -> None:
    with pytest.raises(ZeroDivisionError), repository.begin("manual") as pending:
        found(repository, pending.id, FINISHED, passed=False)  # what is written just before the manifest
        _ = 1 / 0
    assert repository.backups() == []


def test_a_manifest_of_a_newer_format_is_shown_as_such(repository: Repository, root: Path) -> None:
    clock = Clock()
    old = back_up(repository, {"a": b"x"}, clock=clock)
    new = back_up(repository, {"a": b"x"}, clock=clock)
    newer = manifest_file.encode(new.model_copy(update={"format": 2}))
    (root / "backups" / f"{new.id}.json").write_bytes(newer)
    shown = repository.backups()[0]
    assert (shown.id, shown.state) == (new.id, "newer")
    assert "format 2" in shown.detail
    assert repository.resolve("latest") == old


def test_foreign_files_are_named_and_left_alone(repository: Repository, root: Path) -> None:
    back_up(repository, {"a": b"x"})
    assert repository.foreign() == []
    (root / "backups" / "notes (1).txt").write_text("mine")
    (root / "backups" / "folder").mkdir()
    (root / "backups" / "folder" / "20261124T000000Z-0000.json").write_text("mine")
    assert repository.foreign() == ["backups/folder/20261124T000000Z-0000.json", "backups/notes (1).txt"]
    back_up(repository, {"a": b"y"}, clock=Clock(NOON + timedelta(hours=1)))
    assert (root / "backups" / "notes (1).txt").read_text() == "mine"


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"x": 1}', b"\0", None])
def test_a_cache_of_any_kind_of_garbage_costs_nothing_but_time(
    repository: Repository, root: Path, content: bytes | None
) -> None:
    backup = back_up(repository, {"a": b"x"})
    cache = root / "cache" / "backups.json"
    cache.unlink()
    if content is None:
        os.mkfifo(cache)
    else:
        cache.write_bytes(content)
    assert [entry.id for entry in Repository.open(str(root)).backups()] == [backup.id]


def test_a_marker_that_cannot_be_read_is_a_leftover(repository: Repository, root: Path) -> None:
    back_up(repository, {"a": b"x"})
    marker = root / "backups" / "20261123T000000Z-0000.incomplete"
    os.mkfifo(marker)
    assert [(entry.id, entry.state) for entry in repository.backups()][1] == (marker.stem, "incomplete")


def test_a_folder_of_records_can_be_removed_to_forget_a_lost_backup(repository: Repository, root: Path) -> None:
    lost = back_up(repository, {"a": b"x"})
    found(repository, lost.id, "digests", passed=True)
    (root / "backups" / f"{lost.id}.json").unlink()
    shutil.rmtree(root / "verifications" / lost.id)
    assert repository.backups() == []
