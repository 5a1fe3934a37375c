"""The repository's disk goes away, or becomes read-only, in the middle of a backup; and a store larger than memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from archon_dagster.repository.manifest import Manifest
from archon_dagster.repository.repository import Repository
from archon_dagster_tests.unit.repository.conftest import back_up, read_back
from archon_dagster_tests.unit.repository.test_real_disks import run_on_small_disk

KEPT = {"a": b"precious" * 1000}

# a process of its own: whoever comes after it need not wait for its lease
BACKUP = """
import os, random, subprocess, sys
from archon_dagster.errors import RepositoryError
from archon_dagster.repository.repository import Repository
from archon_dagster_tests.unit.repository.conftest import window

root = sys.argv[1]
repository = Repository.open(root)
try:
    with repository.begin("manual") as pending:
        with pending.artifact("vectors", "b", "k", media_type="x/y", cut="content") as artifact:
            artifact.write(random.randbytes(1 << 20))
            exec(sys.argv[2])
            artifact.write(random.randbytes(1 << 20))
        pending.seal(window=window(), versions={})
except RepositoryError as error:
    print(error, *getattr(error, "__notes__", ()))
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "repository"


@pytest.fixture
def kept(root: Path) -> Manifest:
    return back_up(Repository.open(str(root), create=True), KEPT)


def back_up_while(root: Path, disaster: str) -> str:
    """What a backup says whose repository suffers this halfway."""
    command = [sys.executable, "-c", BACKUP, str(root), disaster]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def assert_intact_after_return(root: Path, kept: Manifest) -> None:
    """The disk is mounted again: what was there is there, and the next backup clears up and works."""
    (root.parent / "aside").rename(root)
    repository = Repository.open(str(root))
    assert repository.resolve("latest") == kept
    assert read_back(repository, kept) == KEPT
    new = back_up(repository, {"a": b"new"})
    assert [entry.id for entry in repository.backups()] == [new.id, kept.id]


def test_a_repository_that_vanishes_during_a_backup_is_named_and_nothing_is_made_in_its_place(
    root: Path, kept: Manifest
) -> None:
    said = back_up_while(root, "os.rename(root, os.path.dirname(root) + '/aside')")
    assert "the directory has disappeared" in said
    assert "is the disk still mounted? mount it and try again" in said
    assert "the lock could not be given back and runs out by itself in 60 s" in said
    assert not root.exists()
    assert_intact_after_return(root, kept)


def test_an_empty_directory_where_the_disk_was_mounted_never_holds_a_backup(root: Path, kept: Manifest) -> None:
    said = back_up_while(root, "os.rename(root, os.path.dirname(root) + '/aside'); os.mkdir(root)")
    assert "the directory has disappeared" in said or "its record is gone" in said
    assert list(root.glob("backups/*")) == []
    subprocess.run(["rm", "-r", str(root)], check=True)
    assert_intact_after_return(root, kept)


READ_ONLY_MIDWAY = """
import subprocess, sys
from archon_dagster.repository.repository import Repository
from archon_dagster_tests.unit.repository.conftest import back_up, read_back
from archon_dagster_tests.unit.test_bad_disks import KEPT, back_up_while

disk = sys.argv[1] + "/disk"
repository = Repository.open(disk + "/repository", create=True)
kept = back_up(repository, KEPT)
print(back_up_while(disk + "/repository", f"subprocess.run('mount -o remount,ro {disk}', shell=True, check=True)"))
assert repository.resolve("latest") == kept
subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
again = back_up(repository, {"b": b"new"})
assert [entry.id for entry in repository.backups()] == [again.id, kept.id]
assert read_back(repository, kept) == KEPT
"""


def test_a_disk_that_becomes_read_only_during_a_backup_is_named_and_the_next_one_clears_up(tmp_path: Path) -> None:
    said = run_on_small_disk(tmp_path, READ_ONLY_MIDWAY)
    assert "the filesystem is read-only" in said
    assert "remount it writable" in said
    assert "stays until the next backup clears it" in said


LIMITED = """
import random, resource, sys
from pathlib import Path
from archon_dagster.repository.repository import Repository
from archon_dagster.stores.base import Work
from archon_dagster_tests.unit.repository.conftest import back_up, window

repository = Repository.open(sys.argv[1], create=True)
back_up(repository, {"warm-up": random.randbytes(1000)})
in_use = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (in_use + (256 << 20),) * 2)
with repository.begin("manual") as pending:
    for name in ("one", "two"):
        with pending.artifact("vectors", name, "k", media_type="x/y", cut="content") as artifact:
            noise = random.Random(name).randbytes(1 << 20)
            for number in range(400):
                artifact.write(number.to_bytes(8, "big") + noise[number:] + noise[:number])
    manifest = pending.seal(window=window(), versions={})
assert repository.verify(manifest.id, Work(scratch=Path())).passed
print(manifest.bytes_read)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux is the limit one of data, not of addresses")
def test_a_store_larger_than_the_memory_it_may_take_is_backed_up_and_verified(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "repository")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 3 * (256 << 20)
