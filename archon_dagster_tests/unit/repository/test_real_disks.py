"""Disks that are really full or really read-only: small ones, mounted in a namespace of the test's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]

FULL = """
import random, sys
from archon_dagster.errors import RepositoryError
from archon_dagster.repository.repository import Repository
from archon_dagster_tests.unit.repository.conftest import Clock, back_up, read_back, NOON

repository = Repository.open(sys.argv[1] + "/disk/repository", create=True)
kept = back_up(repository, {"a": b"precious" * 1000}, clock=Clock())
try:
    back_up(repository, {"b": random.randbytes(20 << 20)}, clock=Clock())
except RepositoryError as error:
    print(error)
assert [entry.id for entry in repository.backups()] == [kept.id], repository.backups()
assert repository.holder() is None
assert read_back(Repository.open(sys.argv[1] + "/disk/repository"), kept) == {"a": b"precious" * 1000}
"""

READ_ONLY = """
import subprocess, sys
from pathlib import Path
from archon_dagster.errors import RepositoryError
from archon_dagster.repository.repository import Repository
from archon_dagster_tests.unit.repository.conftest import back_up, read_back

root = sys.argv[1] + "/disk/repository"
repository = Repository.open(root, create=True)
kept = back_up(repository, {"a": b"precious"})
Path(root, "backups", "20200101T000000Z-0000.incomplete").touch()
subprocess.run(["mount", "-o", "remount,ro", sys.argv[1] + "/disk"], check=True)
reopened = Repository.open(root)
assert read_back(reopened, reopened.resolve("latest")) == {"a": b"precious"}
assert [entry.state for entry in reopened.backups()] == ["complete", "incomplete"]
try:
    back_up(reopened, {"b": b"new"})
except RepositoryError as error:
    print(error)
"""


def run_on_small_disk(tmp_path: Path, code: str) -> str:
    """Run code where ``disk`` is a filesystem of 8 MiB."""
    (tmp_path / "disk").mkdir()
    script = f'mount -t tmpfs -o size=8m none {tmp_path}/disk && exec {sys.executable} -c "$CODE" {tmp_path}'
    try:
        result = subprocess.run(
            [*UNSHARE, "sh", "-c", script], capture_output=True, text=True, timeout=60, env={"CODE": code}, check=False
        )
    except FileNotFoundError:
        pytest.skip("there is no `unshare` here")
    if "unshare failed" in result.stderr or "permission denied" in result.stderr.lower().partition("traceback")[0]:
        pytest.skip("namespaces of one's own are not allowed here")
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_really_full_disk_harms_nothing_and_frees_the_lock(tmp_path: Path) -> None:
    said = run_on_small_disk(tmp_path, FULL)
    assert "no space is left" in said
    assert f"{tmp_path}/disk/repository" in said


def test_a_read_only_repository_can_be_listed_and_restored_from(tmp_path: Path) -> None:
    assert "read-only" in run_on_small_disk(tmp_path, READ_ONLY)
