"""Backups come into being whole or not at all, are found again, and come back as they were."""

from __future__ import annotations

import errno
import json
import random
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from archon_dagster.errors import (
    BackupNotFound,
    Cancelled,
    DamagedBackup,
    LockLost,
    RepositoryBusy,
    RepositoryError,
)
from archon_dagster.repository.backends.filesystem import FilesystemBackend
from archon_dagster.repository.holder import LOCK_KEY
from archon_dagster.repository.manifest import Fingerprint, Part
from archon_dagster.repository.repository import Repository
from archon_dagster.repository.verification import CheckRecord
from archon_dagster.stores.base import Cut, Work
from archon_dagster_tests.unit.repository.conftest import NOON, Clock, back_up, chunk_path, read_back, window

NOISE = random.Random(0).randbytes(3_000_000)


def failed(repository: Repository, backup_id: str, *, passed: bool = False, at: datetime = NOON) -> None:
    repository.record(backup_id, CheckRecord(name="counts", passed=passed, detail="0 points", time=at))


# opening


def test_a_missing_repository_is_not_made_by_accident(root: Path) -> None:
    with pytest.raises(RepositoryError, match="no backup repository"):
        Repository.open(str(root))
    assert not root.exists()


def test_a_directory_with_other_files_is_refused(root: Path) -> None:
    root.mkdir()
    (root / "thesis.txt").write_text("mine")
    with pytest.raises(RepositoryError, match=r"other files.*thesis\.txt"):
        Repository.open(str(root), create=True)


def test_creating_twice_opens_the_same_repository(root: Path) -> None:
    first, second = (Repository.open(str(root), create=True).config.id for _ in range(2))
    assert first == second == Repository.open(str(root)).config.id


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 99}, "format 99"),
        ({"key_slots": [{"kind": "age"}]}, "encrypted"),
        ({"surprise": 1}, "damaged"),
    ],
)
def test_a_repository_that_cannot_be_understood_is_refused(root: Path, change: dict[str, object], words: str) -> None:
    Repository.open(str(root), create=True)
    config = json.loads((root / "config.json").read_text())
    (root / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(RepositoryError, match=words):
        Repository.open(str(root))


# writing


@pytest.mark.parametrize("cut", ["tar", "content", "lines", "whole"])
def test_what_was_written_is_read_back(repository: Repository, cut: Cut) -> None:
    with repository.begin("manual") as pending:
        with pending.artifact(
            "graph", "memgraph/graph", "graph-export", media_type="application/x-ndjson", cut=cut
        ) as a:
            for start in range(0, len(NOISE), 70_000):
                assert a.write(NOISE[start : start + 70_000]) == len(NOISE[start : start + 70_000])
            a.counts = {"nodes": 3}
            a.fingerprint = Fingerprint(parts={"nodes/File": Part(count=3, digest="0" * 63 + "1")})
            a.details = {"schema": ["x"]}
        pending.not_covered("graph", "users: no query can read them")
        sealed = pending.seal(window=window(), versions={"graph": "memgraph 3.2.1"}, note="before the upgrade")
    manifest = repository.resolve(sealed.id)
    assert manifest == sealed
    assert read_back(repository, manifest) == {"memgraph/graph": NOISE}
    assert manifest.artifacts[0].counts == {"nodes": 3}
    assert manifest.not_covered == ("graph: users: no query can read them",)
    assert manifest.bytes_read == len(NOISE) < manifest.bytes_added + 1


def test_reading_in_portions_gives_every_byte_once(repository: Repository) -> None:
    manifest = back_up(repository, {"a": NOISE})
    with repository.source(manifest).open(manifest.artifacts[0]) as stream:
        portions = [stream.read(100_001), stream.read(0), stream.read(1), stream.read(2_000_000), stream.read()]
        assert stream.read(10) == b""
    assert b"".join(portions) == NOISE
    assert [len(portion) for portion in portions] == [100_001, 0, 1, 2_000_000, len(NOISE) - 2_100_002]


def test_an_empty_artifact_is_an_artifact(repository: Repository) -> None:
    assert read_back(repository, back_up(repository, {"empty": b""})) == {"empty": b""}


def test_a_backup_without_artifacts_can_stand_for_empty_stores(repository: Repository) -> None:
    with repository.begin("manual") as pending:
        manifest = pending.seal(window=window(), versions={}, stores=["vectors"])
    assert repository.resolve("latest", stores=["vectors"]) == manifest


def test_an_unchanged_artifact_adds_nothing(repository: Repository) -> None:
    clock = Clock()
    first = back_up(repository, {"a": NOISE}, clock=clock)
    second = back_up(repository, {"a": NOISE, "twin": NOISE}, clock=clock)
    assert (second.bytes_added, second.chunks_added, second.parent) == (0, 0, first.id)
    assert second.bytes_read == 2 * len(NOISE)


def test_artifacts_can_be_written_from_several_threads(repository: Repository) -> None:
    with repository.begin("manual") as pending:

        def export(number: int) -> None:
            with pending.artifact("vectors", f"c{number}", "collection-snapshot", media_type="x/y", cut="content") as a:
                for start in range(0, len(NOISE), 10_000):
                    a.write(NOISE[start : start + 10_000][::-1] if number % 2 else NOISE[start : start + 10_000])

        threads = [threading.Thread(target=export, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        manifest = pending.seal(window=window(), versions={})
    found = read_back(repository, manifest)
    assert found["c0"] == found["c2"] == NOISE
    assert found["c1"] == found["c3"] != NOISE


def test_a_failed_artifact_is_discarded_and_can_be_tried_again(repository: Repository) -> None:
    with repository.begin("manual") as pending:
        with (
            pytest.raises(ZeroDivisionError),
            pending.artifact("vectors", "a", "k", media_type="x/y", cut="whole") as a,
        ):
            a.write(b"half")
            _ = 1 / 0
        with pending.artifact("vectors", "a", "k", media_type="x/y", cut="whole") as a:
            a.write(b"whole")
        manifest = pending.seal(window=window(), versions={})
    assert read_back(repository, manifest) == {"a": b"whole"}


def test_two_artifacts_of_one_name_are_refused(repository: Repository) -> None:
    with pytest.raises(RepositoryError, match="one of this name"), repository.begin("manual") as pending:
        for _ in range(2):
            with pending.artifact("vectors", "a", "k", media_type="x/y", cut="whole"):
                pass


@pytest.mark.parametrize(
    "name", ["../x", "/x", "a/../../b", "", "a//b", ".", "a\0b", "a\\..\\b", "x" * 300, "a/", "a\nb"]
)
def test_an_artifact_s_name_cannot_leave_the_directory(repository: Repository, name: str) -> None:
    with (
        pytest.raises(RepositoryError, match="cannot be named"),
        repository.begin("manual") as pending,
        pending.artifact("vectors", name, "k", media_type="x/y", cut="whole"),
    ):
        pass


def test_a_backup_with_an_open_artifact_cannot_be_sealed(repository: Repository) -> None:
    with (
        pytest.raises(RepositoryError, match="still being written"),
        repository.begin("manual") as pending,
        pending.artifact("vectors", "a", "k", media_type="x/y", cut="whole"),
    ):
        pending.seal(window=window(), versions={})
    assert repository.backups() == []


@pytest.mark.parametrize("failure", [Cancelled("stop"), KeyboardInterrupt(), ValueError("broken")])
def test_a_backup_that_fails_leaves_nothing_that_looks_like_one(
    repository: Repository, root: Path, failure: BaseException
) -> None:
    with pytest.raises(type(failure)), repository.begin("manual") as pending:
        with pending.artifact("vectors", "a", "k", media_type="x/y", cut="whole") as a:
            a.write(NOISE)
        raise failure
    assert repository.backups() == []
    assert list((root / "backups").iterdir()) == []
    assert repository.holder() is None


def test_a_backup_that_was_not_sealed_does_not_exist(repository: Repository) -> None:
    with repository.begin("manual"):
        pass
    assert repository.backups() == []


def test_a_running_backup_is_shown_as_running(repository: Repository, root: Path) -> None:
    with repository.begin("manual") as pending:
        assert [(entry.id, entry.state) for entry in Repository.open(str(root)).backups()] == [(pending.id, "running")]
        with pytest.raises(RepositoryBusy, match="backup"), Repository.open(str(root)).begin("scheduled"):
            pytest.fail("two backups at once")
        with pytest.raises(BackupNotFound, match="not complete"):
            repository.resolve(pending.id)


def test_a_backup_uses_the_caller_s_lock(repository: Repository) -> None:
    with repository.lock("restore") as lease, repository.begin("safety", lease=lease) as pending:
        pending.seal(window=window(), versions={})
    assert [entry.summary.kind for entry in repository.backups() if entry.summary] == ["safety"]


def test_a_backup_whose_lock_was_taken_over_is_not_sealed(repository: Repository, root: Path) -> None:
    with pytest.raises(LockLost), repository.begin("manual") as pending:
        record = json.loads((root / LOCK_KEY).read_bytes())
        (root / LOCK_KEY).write_text(json.dumps(record | {"holder": "somebody else", "fence": 7}))
        pending.seal(window=window(), versions={})
    assert repository.backups() == []


def test_a_power_failure_can_never_leave_a_manifest_without_its_chunks(root: Path, repository: Repository) -> None:
    clock = Clock()
    back_up(repository, {"a": b"known before" * 100}, clock=clock)
    steps: list[tuple[str, Path]] = []
    watched = Repository.on(FilesystemBackend(root, on_step=lambda name, path: steps.append((name, path))))
    manifest = back_up(watched, {"a": b"known before" * 100, "b": NOISE}, clock=clock)
    committed = steps.index(("link", root / "backups" / f"{manifest.id}.json"))
    assert ("sync directory", root / "backups") in steps[committed:]
    for path in [chunk_path(root, chunk.sha256) for artifact in manifest.artifacts for chunk in artifact.chunks]:
        assert ("sync directory", path.parent) in steps[:committed]
        if ("rename", path) in steps:
            assert steps.index(("sync", path)) < steps.index(("rename", path))
            assert ("sync directory", path.parent) in steps[steps.index(("rename", path)) : committed]


def test_a_backup_can_be_cancelled_while_the_storage_does_not_answer(root: Path, repository: Repository) -> None:
    stuck, answered = threading.Event(), threading.Event()

    def on_step(name: str, path: Path) -> None:
        if name == "write" and root / "chunks" in path.parents:
            stuck.set()
            assert answered.wait(30)

    def check() -> None:
        if stuck.is_set():
            answered.set()
            raise Cancelled("stop")

    slow = Repository.on(FilesystemBackend(root, on_step=on_step))
    with pytest.raises(Cancelled), slow.begin("manual", check=check) as pending:
        with pending.artifact("vectors", "a", "k", media_type="x/y", cut="whole") as a:
            a.write(NOISE)
        pending.seal(window=window(), versions={})
    assert repository.backups() == []


# a disk that is full


@pytest.mark.parametrize(
    ("part", "step"),
    [
        *(("chunks", step) for step in ("create", "write", "sync", "rename", "sync directory")),
        *(("backups", step) for step in ("create", "write", "sync", "link", "sync directory")),
    ],
)
def test_a_full_disk_ends_the_backup_and_harms_no_other(
    root: Path, repository: Repository, step: str, part: str
) -> None:
    before = back_up(repository, {"a": b"precious"})
    full = threading.Event()

    def on_step(name: str, path: Path) -> None:
        if full.is_set() and name == step and (root / part in path.parents or path == root / part):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

    on_full_disk = Repository.on(FilesystemBackend(root, on_step=on_step))
    with pytest.raises(RepositoryError, match="no space is left") as caught, on_full_disk.begin("manual") as pending:
        full.set()
        with pending.artifact("vectors", "a", "k", media_type="x/y", cut="content") as a:
            for start in range(0, len(NOISE), 50_000):
                a.write(NOISE[start : start + 50_000])
        pending.seal(window=window(), versions={})
    full.clear()
    assert "free space" in str(caught.value)
    assert [entry.id for entry in repository.backups() if entry.state == "complete"] == [before.id]
    assert read_back(repository, before) == {"a": b"precious"}
    after = back_up(repository, {"a": NOISE}, clock=Clock(NOON + timedelta(hours=1)))
    assert read_back(repository, after) == {"a": NOISE}


# repair


def test_a_truncated_chunk_is_written_anew_by_the_next_backup(repository: Repository, root: Path) -> None:
    clock = Clock()
    text = b"INSERT INTO files VALUES (1, 'src/main.py');\n" * 5000
    first = back_up(repository, {"noise": NOISE, "text": text}, clock=clock)
    for artifact in first.artifacts:
        path = root / "chunks" / artifact.chunks[0].sha256[:2] / artifact.chunks[0].sha256
        path.write_bytes(path.read_bytes()[:100])
    back_up(repository, {"noise": NOISE, "text": text}, clock=clock)
    assert read_back(repository, first) == {"noise": NOISE, "text": text}


def test_a_chunk_found_damaged_is_written_anew_by_the_next_backup(
    repository: Repository, root: Path, work: Work
) -> None:
    clock = Clock()
    first = back_up(repository, {"a": NOISE}, clock=clock)
    path = root / "chunks" / first.artifacts[0].chunks[0].sha256[:2] / first.artifacts[0].chunks[0].sha256
    damaged = bytearray(path.read_bytes())
    damaged[1000] ^= 1
    path.write_bytes(damaged)
    assert not repository.verify(first.id, work).passed
    back_up(repository, {"a": NOISE}, clock=clock)
    assert repository.verify(first.id, work).passed
    assert not any((root / "suspects").iterdir())


# listing and selecting


def test_backups_are_listed_newest_first_and_foreign_files_are_ignored(repository: Repository, root: Path) -> None:
    clock = Clock()
    ids = [back_up(repository, {"a": b"x"}, clock=clock).id for _ in range(3)]
    for name in ("notes.txt", "20261124T000000Z-zzzz.json", ".DS_Store", "20261124T000000Z-0000.json.bak"):
        (root / "backups" / name).write_text("foreign")
    (root / "chunks" / "foreign").write_text("foreign")
    assert [entry.id for entry in repository.backups()] == ids[::-1]
    assert [entry.id for entry in Repository.open(str(root)).backups()] == ids[::-1]


def test_an_id_a_prefix_a_date_and_latest_find_a_backup(repository: Repository) -> None:
    old = back_up(repository, {"a": b"1"}, clock=Clock(NOON - timedelta(days=1)))
    new = back_up(repository, {"a": b"2"}, clock=Clock())
    newest = back_up(repository, {"a": b"3"}, clock=Clock(NOON + timedelta(hours=2)))
    assert repository.resolve(old.id) == old
    assert repository.resolve(new.id[:13]) == new
    assert repository.resolve("20261123") == old
    assert repository.resolve("20261124") == newest
    assert repository.resolve("latest") == newest


def test_an_ambiguous_prefix_lists_what_it_could_mean(repository: Repository) -> None:
    clock = Clock()
    ids = [back_up(repository, {"a": b"x"}, clock=clock).id for _ in range(2)]
    with pytest.raises(BackupNotFound, match="not unique") as caught:
        repository.resolve("2026112")
    assert all(backup_id in str(caught.value) for backup_id in ids)


@pytest.mark.parametrize(
    "selector", ["20271124T120002Z-0000", "20270101", "", "lates", "../../etc/passwd", "20261124T12000"]
)
def test_an_unknown_selector_says_what_there_is(repository: Repository, selector: str) -> None:
    known = back_up(repository, {"a": b"x"}, clock=Clock(NOON + timedelta(hours=3)))
    with pytest.raises(BackupNotFound, match=known.id):
        repository.resolve(selector)


def test_an_empty_repository_says_that_it_is_empty(repository: Repository) -> None:
    with pytest.raises(BackupNotFound, match="holds no backup"):
        repository.resolve("latest")


def test_latest_passes_over_what_should_not_be_restored_blindly(repository: Repository) -> None:
    clock = Clock()
    good = back_up(repository, {"a": b"good"}, clock=clock)
    suspicious = back_up(repository, {"a": b"suspicious"}, clock=clock)
    other_store = back_up(repository, {"a": b"graph only"}, clock=clock, store="graph")
    safety = back_up(repository, {"a": b"safety"}, clock=clock, kind="safety")
    failed(repository, suspicious.id)
    assert repository.resolve("latest", stores=["vectors"]) == good
    assert repository.resolve("latest") == other_store
    assert repository.resolve(safety.id) == safety
    with pytest.raises(BackupNotFound, match="relational"):
        repository.resolve("latest", stores=["relational"])
    with pytest.raises(BackupNotFound, match="does not contain graph"):
        repository.resolve(good.id, stores=["graph"])


def test_a_check_that_passes_later_makes_a_backup_eligible_again(repository: Repository) -> None:
    only = back_up(repository, {"a": b"x"})
    failed(repository, only.id)
    with pytest.raises(BackupNotFound, match="failed check counts"):
        repository.resolve("latest")
    failed(repository, only.id, passed=True, at=NOON + timedelta(minutes=1))
    assert repository.resolve("latest") == only
    assert [check.passed for check in repository.checks(only.id)] == [False, True]


def test_a_backup_with_an_unreadable_record_is_not_latest_and_the_record_is_named(
    repository: Repository, root: Path
) -> None:
    only = back_up(repository, {"a": b"x"})
    failed(repository, only.id, passed=True)
    next((root / "verifications" / only.id).iterdir()).write_text("garbage")
    with pytest.raises(BackupNotFound, match=rf"its record verifications/{only.id}/.*-counts\.json cannot be read"):
        repository.resolve("latest")


def test_an_older_backup_in_place_of_a_newer_one_is_no_surprise(
    repository: Repository, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    good, unreadable, bad, broken = (back_up(repository, {"a": b"x"}, clock=clock) for _ in range(4))
    back_up(repository, {"a": b"x"}, clock=clock, kind="safety")
    failed(repository, unreadable.id, passed=True)
    (record,) = (root / "verifications" / unreadable.id).iterdir()
    record.write_text("garbage")
    failed(repository, bad.id)
    (root / "backups" / f"{broken.id}.json").write_text("garbage")
    assert repository.resolve("latest") == good
    (said,) = [line.getMessage() for line in caplog.records]
    assert said.startswith(f"latest is {good.id}")
    assert f"{unreadable.id}: its record verifications/{unreadable.id}/{record.name} cannot be read" in said
    assert f"{bad.id}: failed check counts" in said
    assert f"{broken.id}: damaged" in said
    assert "safety" not in said


def test_latest_says_nothing_where_nothing_is_wrong(repository: Repository, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    back_up(repository, {"a": b"x"}, clock=clock)
    back_up(repository, {"a": b"x"}, clock=clock, kind="safety")
    repository.resolve("latest")
    assert caplog.records == []


def test_a_date_that_means_a_backup_not_to_rely_on_says_so(
    repository: Repository, caplog: pytest.LogCaptureFixture
) -> None:
    day = back_up(repository, {"a": b"x"}, kind="safety")
    failed(repository, day.id)
    assert repository.resolve("20261124") == day
    (said,) = [line.getMessage() for line in caplog.records]
    assert said.startswith(f"20261124 means {day.id}, and it is a safety backup")
    assert said.endswith("failed check counts")


@pytest.mark.parametrize("selector", ["20261124", "{id}"])
def test_a_lost_manifest_is_named_to_whoever_asks_for_the_backup(
    repository: Repository, root: Path, selector: str
) -> None:
    lost = back_up(repository, {"a": b"x"})
    failed(repository, lost.id, passed=True)
    (root / "backups" / f"{lost.id}.json").unlink()
    with pytest.raises(BackupNotFound, match=rf"{lost.id} is missing: its manifest backups/{lost.id}\.json"):
        repository.resolve(selector.format(id=lost.id))


def test_two_results_of_the_same_instant_are_both_kept(repository: Repository) -> None:
    only = back_up(repository, {"a": b"x"})
    failed(repository, only.id)
    failed(repository, only.id)
    assert len(repository.checks(only.id)) == 2


# damaged manifests


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "garbage"])
def test_a_damaged_manifest_is_shown_and_never_restored(repository: Repository, root: Path, damage: str) -> None:
    clock = Clock()
    good = back_up(repository, {"a": b"good"}, clock=clock)
    bad = back_up(repository, {"a": b"bad"}, clock=clock)
    path = root / "backups" / f"{bad.id}.json"
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes({"flip": bytes(content), "truncate": bytes(content[:300]), "empty": b"", "garbage": b"{}"}[damage])
    assert [(entry.id, entry.state) for entry in repository.backups()] == [(bad.id, "damaged"), (good.id, "complete")]
    with pytest.raises(DamagedBackup, match=bad.id):
        repository.resolve(bad.id)
    assert repository.resolve("latest") == good
    assert repository.resolve("20261124") == good


def test_a_manifest_of_a_newer_format_asks_for_a_newer_program(repository: Repository, root: Path) -> None:
    from archon_dagster.repository import manifest_file

    manifest = back_up(repository, {"a": b"x"})
    newer = manifest.model_copy(update={"format": 2, "invented_later": True})
    raw = manifest_file.encode(newer)
    body = raw[len(b'{"sha256":"') + 64 + len(b'","manifest":') : -2].replace(b'{"format":2', b'{"format":2,"later":1')
    import hashlib

    framed = b'{"sha256":"' + hashlib.sha256(body).hexdigest().encode() + b'","manifest":' + body + b"}\n"
    (root / "backups" / f"{manifest.id}.json").write_bytes(framed)
    with pytest.raises(RepositoryError, match="format 2"):
        repository.resolve(manifest.id)


def test_a_broken_cache_costs_nothing_but_time(repository: Repository, root: Path) -> None:
    manifest = back_up(repository, {"a": b"x"})
    for garbage in (b"\0", b"[]", b'{"x": 1}'):
        (root / "cache" / "backups.json").write_bytes(garbage)
        assert [entry.id for entry in Repository.open(str(root)).backups()] == [manifest.id]
