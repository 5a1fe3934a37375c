"""The repository on S3: whole backups or none, found again, read back, and one writer at a time."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.errors import BackupNotFound, DamagedBackup, LockLost, RepositoryBusy, RepositoryError
from archon_dagster.repository.backends.s3.backend import S3Backend
from archon_dagster.repository.holder import LOCK_KEY, current_holder
from archon_dagster.repository.lock import lock
from archon_dagster.repository.names import chunk_key
from archon_dagster.repository.repository import Repository
from archon_dagster.repository.verification import CheckRecord
from archon_dagster.restore.restore import CONFIRMATION, RestoreRequest, restore_backup
from archon_dagster.stores.base import Work
from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.integration.s3.servers import Server
from archon_dagster_tests.unit.platform_double import Platform
from archon_dagster_tests.unit.repository.conftest import NOON, Clock, back_up, read_back, window

CONTENT = bytes(range(256)) * 12_000 + os.urandom(1_000_000)


@pytest.fixture
def backend(server: Server) -> Iterator[S3Backend]:
    found = server.backend()
    yield found
    found.close()


@pytest.fixture
def repository(backend: S3Backend) -> Repository:
    return Repository.on(backend, create=True)


def environment(server: Server, backend: S3Backend) -> dict[str, str]:
    """What another process needs to reach the same repository."""
    variables = {"ENDPOINT": server.endpoint, "KEY": server.key, "SECRET": server.secret}
    url = f"s3://{server.bucket}/{backend._bucket.address.prefix}"
    return os.environ | {f"ARCHON_S3_{name}": value for name, value in variables.items()} | {"ARCHON_REPOSITORY": url}


def test_what_was_written_is_read_back_and_verified(repository: Repository, backend: S3Backend, work: Work) -> None:
    with repository.begin("manual") as pending:
        for cut in ("content", "whole"):
            with pending.artifact("vectors", cut, "k", media_type="x/y", cut=cut) as artifact:
                for start in range(0, len(CONTENT), 70_000):
                    artifact.write(CONTENT[start : start + 70_000])
        sealed = pending.seal(window=window(), versions={})
    assert Repository.on(backend).resolve("latest") == sealed
    assert read_back(repository, sealed) == {"content": CONTENT, "whole": CONTENT}
    assert repository.verify(sealed.id, work).passed
    assert [check.name for check in repository.checks(sealed.id)] == ["digests"]


def test_a_new_host_restores_everything_from_the_bucket_alone(
    server: Server, backend: S3Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old host is gone, with everything that was on its disks."""
    for name, value in environment(server, backend).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("archon_dagster.restore.restore.wait_until_ready", lambda *_, **__: {})  # no service is probed
    lost = Platform(tmp_path / "lost")
    for store in lost.stores.values():
        store.put("of the old host", "only in the backup")
    before = lost.live()
    take_backup(lost.context, BackupRequest(quiesce=False))
    shutil.rmtree(tmp_path / "lost")
    new = Platform(tmp_path / "new")
    assert new.live() != before
    restore_backup(new.context, RestoreRequest("latest", CONFIRMATION))
    assert new.live() == before


def test_an_unchanged_artifact_adds_nothing(repository: Repository) -> None:
    clock = Clock()
    back_up(repository, {"a": CONTENT}, clock=clock)
    second = back_up(repository, {"a": CONTENT}, clock=clock)
    assert (second.bytes_added, second.chunks_added) == (0, 0)


def test_a_chunk_that_a_foreign_tool_has_cut_off_fails_the_next_backup_and_is_repaired_by_the_one_after(
    repository: Repository, backend: S3Backend, work: Work
) -> None:
    clock, text = Clock(), {"a": b"a line that compresses\n" * 50_000}
    chunk = chunk_key(back_up(repository, text, clock=clock).artifacts[0].chunks[0].sha256)
    backend.put(chunk, backend.get(chunk).data[:100])
    relied = back_up(repository, text, clock=clock)
    assert relied.bytes_added == 0
    assert not repository.verify(relied.id, work, record=False).passed  # as every backup is, before it counts
    assert back_up(repository, text, clock=clock).bytes_added > 0
    assert repository.verify(relied.id, work).passed


def test_a_damaged_chunk_is_found_named_and_repaired(repository: Repository, backend: S3Backend, work: Work) -> None:
    clock = Clock()
    manifest = back_up(repository, {"a": CONTENT}, clock=clock)
    chunk = manifest.artifacts[0].chunks[0].sha256
    damaged = bytearray(backend.get(chunk_key(chunk)).data)
    damaged[1000] ^= 1
    backend.put(chunk_key(chunk), damaged)
    with pytest.raises(DamagedBackup, match=chunk[:12]):
        repository.verify(manifest.id, work).raise_for_damage()
    back_up(repository, {"a": CONTENT}, clock=clock)
    assert repository.verify(manifest.id, work).passed


def test_a_missing_chunk_is_named(repository: Repository, backend: S3Backend, work: Work) -> None:
    manifest = back_up(repository, {"a": CONTENT})
    chunk = manifest.artifacts[0].chunks[0].sha256
    backend.delete(chunk_key(chunk))
    with pytest.raises(DamagedBackup, match=f"{chunk[:12]} is missing"):
        repository.verify(manifest.id, work).raise_for_damage()


def test_latest_is_the_newest_without_a_failed_check(repository: Repository) -> None:
    clock = Clock()
    good = back_up(repository, {"a": b"1"}, clock=clock)
    suspicious = back_up(repository, {"a": b"2"}, clock=clock)
    repository.record(suspicious.id, CheckRecord(name="counts", passed=False, detail="0 points", time=NOON))
    assert repository.resolve("latest") == good
    assert [entry.id for entry in repository.backups()] == [suspicious.id, good.id]
    with pytest.raises(BackupNotFound):
        repository.resolve("20990101")


def test_a_backup_that_fails_leaves_nothing_that_looks_like_one(repository: Repository, backend: S3Backend) -> None:
    with pytest.raises(ValueError, match="broken"), repository.begin("manual") as pending:
        with pending.artifact("vectors", "a", "k", media_type="x/y", cut="whole") as artifact:
            artifact.write(CONTENT)
        raise ValueError("broken")
    assert repository.backups() == []
    assert list(backend.list("backups/")) == []
    assert repository.holder() is None


def test_a_bucket_with_other_objects_is_refused(backend: S3Backend) -> None:
    backend.put("thesis.txt", b"mine")
    with pytest.raises(RepositoryError, match=r"other files.*thesis\.txt"):
        Repository.on(backend, create=True)


def test_a_repository_is_exported_as_plain_files(repository: Repository, tmp_path: Path) -> None:
    manifest = back_up(repository, {"a": CONTENT})
    repository.export(manifest, tmp_path / "out")
    assert CONTENT in [path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_copy_of_the_bucket_is_read_without_this_package(
    repository: Repository, backend: S3Backend, tmp_path: Path
) -> None:
    manifest = back_up(repository, {"a": CONTENT})
    for info in backend.list(""):  # what `aws s3 sync` does
        path = tmp_path / "copy" / info.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(backend.get(info.key).data)
    command = [sys.executable, str(tmp_path / "copy" / "extract.py"), manifest.id, str(tmp_path / "out")]
    subprocess.run(command, check=True, timeout=60, capture_output=True)
    assert CONTENT in [path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()]


# one at a time


def test_a_second_holder_is_told_who_and_the_fence_grows(backend: S3Backend) -> None:
    with lock(backend, "nightly backup") as first:
        first.renew()
        with pytest.raises(RepositoryBusy, match=rf"nightly backup.*{os.getpid()}"), lock(backend, "restore"):
            pytest.fail("two holders")
    assert current_holder(backend) is None
    with lock(backend, "restore") as second:
        assert second.fence == first.fence + 1


def test_a_killed_holder_on_another_host_is_taken_over_when_its_lease_ran_out(
    server: Server, backend: S3Backend
) -> None:
    code = (
        "import os, signal\nfrom archon_dagster.repository.backends.opening import open_backend\n"
        "from archon_dagster.repository.lock import lock\n"
        "with lock(open_backend(os.environ['ARCHON_REPOSITORY']), 'killed', lease=3): os.kill(os.getpid(), 9)\n"
    )
    dead = subprocess.run([sys.executable, "-c", code], env=environment(server, backend), check=False, timeout=60)
    assert dead.returncode == -signal.SIGKILL
    record = json.loads(backend.get(LOCK_KEY).data)
    backend.put(LOCK_KEY, json.dumps(record | {"host": "another host"}).encode())
    with pytest.raises(RepositoryBusy, match="another host"), lock(backend, "too early"):
        pytest.fail("two holders")
    with lock(backend, "next", wait=30) as lease:
        assert lease.fence == record["fence"] + 1


def test_a_holder_that_slept_learns_that_it_was_taken_over(backend: S3Backend) -> None:
    with lock(backend, "sleeper") as sleeper:
        record = json.loads(backend.get(LOCK_KEY).data)
        backend.put(LOCK_KEY, json.dumps(record | {"holder": "somebody else", "fence": 7}).encode())
        with pytest.raises(LockLost, match="taken it over"):
            sleeper.renew()


def test_the_heartbeat_keeps_a_short_lease_alive(backend: S3Backend) -> None:
    with lock(backend, "long work", lease=4.0) as lease:
        first = backend.get(LOCK_KEY).info.modified
        eventually(lambda: (backend.get(LOCK_KEY).info.modified - first).total_seconds() > 4.5, within=30)
        lease.check()
        with pytest.raises(RepositoryBusy), lock(backend, "second"):
            pytest.fail("two holders")


def test_two_processes_never_hold_the_lock_together(server: Server, backend: S3Backend, tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from archon_dagster.repository.backends.opening import open_backend\n"
        "from archon_dagster.repository.lock import lock\n"
        "root = Path(sys.argv[1]); backend = open_backend(os.environ['ARCHON_REPOSITORY'])\n"
        "for _ in range(3):\n"
        "    with lock(backend, 'race', wait=90) as lease:\n"
        "        (root / 'held').open('x').close()\n"
        "        with (root / 'fences').open('a') as log: log.write(f'{lease.fence}\\n')\n"
        "        lease.renew(); (root / 'held').unlink()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    racers = [subprocess.Popen(command, env=environment(server, backend)) for _ in range(2)]
    assert [racer.wait(120) for racer in racers] == [0, 0]
    fences = [int(line) for line in (tmp_path / "fences").read_text().split()]
    assert fences == list(range(fences[0], fences[0] + 6))


def test_two_backups_at_once_from_two_processes_are_both_whole(
    server: Server, backend: S3Backend, repository: Repository, work: Work
) -> None:
    code = (
        "import os, sys\n"
        "from archon_dagster.repository.repository import Repository\n"
        "from archon_dagster_tests.unit.repository.conftest import window\n"
        "repository = Repository.open(os.environ['ARCHON_REPOSITORY'])\n"
        "with repository.lock('backup', wait=90) as lease, repository.begin('manual', lease=lease) as pending:\n"
        "    with pending.artifact('vectors', 'a', 'k', media_type='x/y', cut='content') as artifact:\n"
        "        artifact.write(bytes(range(256)) * 8000 + sys.argv[1].encode())\n"
        "    pending.seal(window=window(), versions={})\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, name], env=environment(server, backend)) for name in ("x", "y")
    ]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    entries = repository.backups()
    assert [entry.state for entry in entries] == ["complete", "complete"]
    assert all(repository.verify(entry.id, work).passed for entry in entries)
