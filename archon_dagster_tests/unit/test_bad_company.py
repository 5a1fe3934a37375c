"""Two who want the platform at the same time: from two processes, from two hosts, a backup while a restore runs.

The other host is a process with a host name and process ids of its own, as in a container: nobody here can look up
whether it lives.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.errors import RepositoryBusy
from archon_dagster.repository.repository import Repository
from archon_dagster.restore.journal import JournalFile
from archon_dagster.restore.restore import RestoreRequest, restore_backup
from archon_dagster.stores.base import Work
from archon_dagster_tests.unit.platform_double import Platform
from archon_dagster_tests.unit.repository.conftest import back_up, read_back

HALF, REST = b"first half\n" * 40_000, b"second half\n" * 40_000

BACKUP = """
import sys
from archon_dagster.repository.repository import Repository
from archon_dagster_tests.unit.repository.conftest import window
from archon_dagster_tests.unit.test_bad_company import HALF, REST

repository = Repository.open(sys.argv[1])
with repository.lock("nightly backup", lease=float(sys.argv[2])) as lease:
    with repository.begin("scheduled", lease=lease) as pending:
        with pending.artifact("vectors", "a", "k", media_type="x/y", cut="content") as artifact:
            artifact.write(HALF)
            print("half", flush=True)
            sys.stdin.read()
            artifact.write(REST)
        pending.seal(window=window(), versions={})
"""

RACE = """
import sys
from archon_dagster.repository.repository import Repository
from archon_dagster_tests.unit.repository.conftest import window

repository = Repository.open(sys.argv[1])
for number in range(4):
    with repository.lock("race", wait=60) as lease, repository.begin("manual", lease=lease) as pending:
        with pending.artifact("vectors", "a", "k", media_type="x/y", cut="content") as artifact:
            artifact.write(f"the same {number}".encode() * 20_000 + sys.argv[2].encode())
        print(pending.seal(window=window(), versions={}).id, flush=True)
"""

OTHER_HOST = ["unshare", "--user", "--map-root-user", "--uts", "--mount", "--pid", "--fork", "--kill-child",
              "--mount-proc", "sh", "-c", 'hostname other-host && exec "$0" "$@"']  # fmt: skip


def _no_other_host() -> str:
    """Why there cannot be another host on this machine; empty: there can."""
    try:
        probe = subprocess.run([*OTHER_HOST, "true"], capture_output=True, text=True, timeout=20, check=False)
    except FileNotFoundError:
        return "there is no `unshare` here"
    return f"namespaces of one's own are not allowed here: {probe.stderr.strip()}" if probe.returncode else ""


class Company:
    """Starts the others; none of them outlives the test."""

    def __init__(self, stack: ExitStack, root: Path):
        self._stack, self.root = stack, root

    def start(self, place: str, code: str, *arguments: str) -> subprocess.Popen[str]:
        if place == "another host" and (reason := _no_other_host()):
            pytest.skip(reason)
        command = [*(OTHER_HOST if place == "another host" else []), sys.executable, "-c", code, str(self.root)]
        process = self._stack.enter_context(
            subprocess.Popen(
                [*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
            )
        )
        self._stack.callback(process.kill)
        return process

    def begin_backup(self, place: str, lease: float = 60) -> subprocess.Popen[str]:
        """A backup that has written half of its bytes, and waits until its input is closed."""
        process = self.start(place, BACKUP, str(lease))
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        return process


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.open(str(tmp_path / "repository"), create=True)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(scratch=tmp_path)


@pytest.fixture
def company(tmp_path: Path, repository: Repository) -> Iterator[Company]:
    with ExitStack() as stack:
        yield Company(stack, tmp_path / "repository")


PLACES = pytest.mark.parametrize("place", ["another process", "another host"])


@PLACES
def test_a_second_backup_is_refused_and_the_first_is_whole(
    repository: Repository, company: Company, work: Work, place: str
) -> None:
    other = company.begin_backup(place)
    named = "1 on other-host" if place == "another host" else f"{other.pid} on {socket.gethostname()}"
    with pytest.raises(RepositoryBusy, match=rf"'nightly backup' by process {named} since "):
        back_up(repository, {"a": b"mine"})
    assert [entry.state for entry in repository.backups()] == ["running"]
    other.communicate(timeout=60)
    assert other.returncode == 0
    (entry,) = repository.backups()
    assert read_back(repository, repository.resolve(entry.id)) == {"a": HALF + REST}
    assert repository.verify(back_up(repository, {"a": b"mine"}).id, work).passed


def test_a_backup_that_was_killed_on_another_host_is_waited_for_and_then_cleared(
    repository: Repository, company: Company, tmp_path: Path
) -> None:
    other = company.begin_backup("another host", lease=3)
    other.kill()
    other.wait(20)
    with pytest.raises(RepositoryBusy, match=r"(?s)on other-host .*runs out by itself in [0-3] s"):
        back_up(repository, {"a": b"too early"})
    with repository.lock("next", wait=60) as lease, repository.begin("manual", lease=lease):
        assert [entry.state for entry in repository.backups()] == ["running"]  # the dead one's marker is gone
    assert repository.backups() == []
    assert [path for path in (tmp_path / "repository").rglob("*") if path.name.endswith((".tmp", ".incomplete"))] == []


@PLACES
def test_who_takes_turns_makes_whole_backups_in_one_order(
    repository: Repository, company: Company, work: Work, place: str
) -> None:
    others = [company.start(place, RACE, "x"), company.start("another process", RACE, "y")]
    ids = [line for other in others for line in other.communicate(timeout=120)[0].split()]
    assert [other.returncode for other in others] == [0, 0]
    assert len(set(ids)) == 8
    assert [entry.id for entry in repository.backups()] == sorted(ids, reverse=True)
    assert all(repository.verify(backup_id, work, record=False).passed for backup_id in ids)


# a backup and a restore


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    monkeypatch.setattr("archon_dagster.restore.restore.wait_until_ready", lambda *_, **__: {})
    return Platform(tmp_path)


def during(platform: Platform, moment: str, what: Callable[[], object]) -> list[RepositoryBusy]:
    """Try something, once, at a moment of the work on the graph; the refusals."""
    refusals: list[RepositoryBusy] = []

    def fault(verb: str) -> None:
        if verb == moment and not refusals:
            with pytest.raises(RepositoryBusy) as caught:
                what()
            refusals.append(caught.value)

    platform.stores["graph"].fault = fault
    return refusals


def back_up_platform(platform: Platform) -> str:
    return take_backup(platform.context, BackupRequest(quiesce=False)).manifest.id


def test_a_backup_while_a_restore_runs_is_refused_and_the_restore_goes_on(platform: Platform) -> None:
    backup, before = back_up_platform(platform), platform.live()
    platform.stores["vectors"].put("0", "changed since")
    refusals = during(platform, "restore", lambda: back_up_platform(platform))
    restore_backup(platform.context, RestoreRequest(selector=backup, confirm="RESTORE"))
    assert f"'restore of {backup}' by process {os.getpid()}" in str(refusals[0])
    assert platform.live() == before
    kinds = [entry.summary.kind for entry in platform.repository.backups() if entry.summary]
    assert kinds == ["safety", "manual"]


def test_a_restore_while_a_backup_runs_is_refused_and_touches_nothing(platform: Platform) -> None:
    backup, before = back_up_platform(platform), platform.live()
    request = RestoreRequest(selector=backup, confirm="RESTORE")
    refusals = during(platform, "copy", lambda: restore_backup(platform.context, request))
    back_up_platform(platform)
    assert "'manual backup' by process" in str(refusals[0])
    assert platform.live() == before
    assert not JournalFile(platform.settings).path.exists()
