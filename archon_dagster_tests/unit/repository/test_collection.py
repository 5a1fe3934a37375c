"""Removing backups and collecting chunks: whatever happens, what is kept can be read back."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from archon_dagster.errors import BackupNotFound, LockLost, RepositoryBusy, RepositoryError
from archon_dagster.repository import collection, removal
from archon_dagster.repository.backends.filesystem import FilesystemBackend
from archon_dagster.repository.collection import Collected
from archon_dagster.repository.lock import Lease
from archon_dagster.repository.manifest import Manifest
from archon_dagster.repository.names import manifest_key
from archon_dagster.repository.repository import Repository
from archon_dagster.repository.verification import CheckRecord
from archon_dagster.stores.base import Work
from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.unit.repository.conftest import NOON, Clock, back_up, chunk_path, read_back

GRACE = timedelta(hours=24)
SHARED = os.urandom(3000)


@pytest.fixture
def two(repository: Repository) -> tuple[Manifest, Manifest]:
    """Two backups that share an artifact, each with one of its own."""
    clock = Clock()
    old = back_up(repository, {"shared": SHARED, "own": os.urandom(2000)}, clock=clock)
    return old, back_up(repository, {"shared": SHARED, "own": os.urandom(2000)}, clock=clock)


def age(root: Path, hours: float) -> None:
    """Make everything in the repository so much older."""
    for path in root.rglob("*"):
        if path.is_file() and "locks" not in path.parts:
            then = path.stat().st_mtime - hours * 3600
            os.utime(path, (then, then))


def collect(repository: Repository, work: Work, limit: float = 60.0, grace: timedelta = GRACE) -> Collected:
    with repository.lock("retention") as lease:
        return collection.collect(repository.backend, repository.backups(), lease, work, grace=grace, limit=limit)


def remove(repository: Repository, backup: Manifest) -> None:
    with repository.lock("retention"):
        removal.remove(repository.backend, backup.id)


def chunks_of(root: Path) -> set[str]:
    return {path.name for path in (root / "chunks").rglob("*") if path.is_file()}


def names(manifest: Manifest) -> set[str]:
    return {chunk.sha256 for artifact in manifest.artifacts for chunk in artifact.chunks}


def test_chunks_go_when_the_grace_period_is_over_and_nobody_needs_them(
    repository: Repository, root: Path, two: tuple[Manifest, Manifest], work: Work
) -> None:
    old, new = two
    age(root, 100)
    expected = collection.held_only_by(repository.backend, [old.id], [new.id], work)
    remove(repository, old)
    assert [entry.id for entry in repository.backups()] == [new.id]
    assert collect(repository, work).chunks == 0  # the removal can be undone for a day
    age(root, 25)
    assert removal.forget_expired(repository.backend, GRACE) == [old.id]
    done = collect(repository, work)
    assert done.size == expected > 0
    assert chunks_of(root) == names(new)
    assert read_back(repository, new)["shared"] == SHARED
    assert collect(repository, work) == Collected()


def test_a_removal_is_undone_within_the_grace_period(
    repository: Repository, root: Path, two: tuple[Manifest, Manifest], work: Work
) -> None:
    old, _ = two
    before = read_back(repository, old)
    repository.record(old.id, CheckRecord(name="digests", passed=True, time=NOON))
    remove(repository, old)
    assert {entry.state for entry in repository.backups()} == {"complete"}  # the record of the check says nothing
    with repository.lock("undelete"):
        assert removal.put_back(repository.backend, old.id) == old
    assert read_back(repository, repository.resolve(old.id)) == before
    assert repository.verify(old.id, work).passed
    assert removal.removed(repository.backend) == {}
    with pytest.raises(BackupNotFound, match="no removed backup"):
        removal.put_back(repository.backend, old.id)


def test_young_chunks_that_nobody_needs_stay(repository: Repository, root: Path, work: Work) -> None:
    kept = back_up(repository, {"a": SHARED})
    with pytest.raises(ZeroDivisionError), repository.begin("manual") as pending:  # as a killed backup leaves them
        with pending.artifact("vectors", "b", "x", media_type="x/y", cut="whole") as artifact:
            artifact.write(os.urandom(2000))
        raise ZeroDivisionError
    more = len(chunks_of(root)) - len(names(kept))
    assert collect(repository, work) == Collected(0, 0, more)
    age(root, 25)
    assert collect(repository, work).chunks == more > 0
    assert chunks_of(root) == names(kept)


@pytest.mark.parametrize("what", ["damaged", "missing", "newer"])
def test_nothing_is_collected_while_it_is_not_known_what_a_backup_needs(
    repository: Repository, root: Path, two: tuple[Manifest, Manifest], work: Work, what: str
) -> None:
    old, _ = two
    repository.record(old.id, CheckRecord(name="digests", passed=True, time=NOON))
    path = root / manifest_key(old.id)
    if what == "missing":
        path.unlink()
    else:
        change = {"damaged": (b'"host"', b'"hosx"')}.get(what)
        path.write_bytes(path.read_bytes().replace(*change) if change else _newer(path.read_bytes()))
    age(root, 100)
    before = chunks_of(root)
    with pytest.raises(RepositoryError, match="not known which chunks") as error:
        collect(repository, work)
    assert old.id in str(error.value)
    assert chunks_of(root) == before


def _newer(raw: bytes) -> bytes:
    import hashlib
    import json

    from archon_dagster.repository import manifest_file as file

    body = json.dumps({**json.loads(raw[file._BODY : -len(file._END)]), "format": 99}).encode()
    return b"".join((file._START, hashlib.sha256(body).hexdigest().encode(), file._MIDDLE, body, file._END))


def test_it_waits_for_no_running_backup(repository: Repository, work: Work) -> None:
    with repository.lock("backup (manual)"), pytest.raises(RepositoryBusy, match="backup"):
        collect(repository, work)


def test_a_backup_that_lost_its_lock_to_a_collection_is_not_sealed(
    repository: Repository, root: Path, two: tuple[Manifest, Manifest], work: Work
) -> None:
    old, new = two
    other = Repository.open(str(root))
    remove(repository, old)
    age(root, 100)
    with (
        pytest.raises(LockLost),
        repository.lock("backup (manual)", lease=0.3) as lease,
        repository.begin("manual", lease=lease) as pending,
    ):
        _freeze(lease)
        with pending.artifact("vectors", "own", "x", media_type="x/y", cut="whole") as artifact:
            artifact.write(read_back(repository, new)["own"])  # relies on a chunk that is there
        with other.lock("retention", wait=5):
            removal.forget_expired(other.backend, GRACE)
        collect(other, work)
        pending.seal(window=new.window, versions={})
    assert [entry.id for entry in other.backups() if entry.state == "complete"] == [new.id]
    assert other.verify(new.id, work).passed


def _freeze(lease: Lease) -> None:
    """As if the process stood still: nothing renews the lease any more."""
    lease._end.set()
    lease._heart.join()
    eventually(lambda: _is_over(lease), within=5.0)


def _is_over(lease: Lease) -> bool:
    try:
        lease.check()
    except LockLost:
        return True
    return False


def test_a_collection_that_lost_the_lock_stops(
    repository: Repository, root: Path, two: tuple[Manifest, Manifest], work: Work
) -> None:
    old, _ = two
    remove(repository, old)
    age(root, 100)
    removal.forget_expired(repository.backend, GRACE)
    before = chunks_of(root)
    with repository.lock("retention", lease=0.3) as lease:
        _freeze(lease)
        with pytest.raises(LockLost):
            collection.collect(repository.backend, repository.backups(), lease, work, grace=GRACE, limit=60)
    assert chunks_of(root) == before


def test_without_time_it_leaves_the_rest_for_the_next_run(
    repository: Repository, root: Path, two: tuple[Manifest, Manifest], work: Work
) -> None:
    old, new = two
    remove(repository, old)
    age(root, 100)
    removal.forget_expired(repository.backend, GRACE)
    assert collect(repository, work, limit=-1) == Collected(0, 0, len(names(old) - names(new)))
    assert collect(repository, work).chunks == len(names(old) - names(new))


@pytest.mark.parametrize("step", range(1, 14))
@pytest.mark.parametrize("verb", ["put", "delete", "barrier"])
def test_failing_anywhere_it_leaves_what_is_kept_whole_and_can_be_done_again(
    root: Path, tmp_path: Path, work: Work, monkeypatch: pytest.MonkeyPatch, verb: str, step: int
) -> None:
    repository = Repository.open(str(root), create=True)
    clock = Clock()
    old = back_up(repository, {"shared": SHARED, "own": os.urandom(2000)}, clock=clock)
    new = back_up(repository, {"shared": SHARED}, clock=clock)
    age(root, 100)

    def everything() -> None:
        with repository.lock("retention"):
            if repository.backend.exists(manifest_key(old.id)):
                removal.remove(repository.backend, old.id)
        for path in (root / "removed").glob("*"):
            os.utime(path, (1e9, 1e9))
        with repository.lock("retention"):
            removal.forget_expired(repository.backend, GRACE)
        collect(repository, work)

    _fail_at(monkeypatch, verb, step)
    try:
        everything()
    except RepositoryError as error:
        assert "injected" in str(error)
    monkeypatch.undo()
    assert repository.verify(new.id, work, record=False).passed
    states = {entry.id: entry.state for entry in repository.backups()}
    if states.get(old.id) == "complete":
        assert repository.verify(old.id, work, record=False).passed
    assert set(states.values()) == {"complete"}
    everything()
    assert chunks_of(root) == names(new)
    assert repository.verify(new.id, work).passed


def _fail_at(monkeypatch: pytest.MonkeyPatch, verb: str, step: int) -> None:
    count = 0
    real: Callable[..., object] = getattr(FilesystemBackend, verb)

    def failing(self: FilesystemBackend, *args: object, **more: object) -> object:
        nonlocal count
        count += 1
        if count == step:
            raise RepositoryError("injected: the disk is gone")
        return real(self, *args, **more)

    monkeypatch.setattr(FilesystemBackend, verb, failing)


def test_what_is_absent_is_counted(
    repository: Repository, root: Path, two: tuple[Manifest, Manifest], work: Work
) -> None:
    old, new = two
    chunk_path(root, next(iter(names(new) - names(old)))).unlink()
    assert collection.absent_chunks(repository.backend, [old.id, new.id], work) == {new.id: 1}


def test_a_mark_that_cannot_be_read_is_a_mark(repository: Repository, root: Path) -> None:
    backup = back_up(repository, {"a": b"x"})
    removal.mark(repository.backend, backup.id, removal.Keep(since=NOON, by="me", note="the audit"))
    assert removal.marks(repository.backend)[backup.id].note == "the audit"
    (root / "keeps" / f"{backup.id}.json").write_bytes(b"\0garbage")
    assert backup.id in removal.marks(repository.backend)
    assert removal.unmark(repository.backend, backup.id)
    assert removal.marks(repository.backend) == {}
