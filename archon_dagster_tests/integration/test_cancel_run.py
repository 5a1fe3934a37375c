"""A backup or a restore terminated in the UI while its storage does not answer, or only slowly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from archon_dagster.platform.settings import settings_of
from archon_dagster.repository.backends.opening import open_backend
from archon_dagster.repository.repository import Repository
from archon_dagster.restore.journal import JournalFile
from archon_dagster.sandbox.s3.running import object_storage
from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.integration.s3.faulty_proxy import FaultyProxy
from archon_dagster_tests.integration.terminating import PROMPT, launched, terminate
from archon_dagster_tests.integration.test_up import Up, running_up

pytest.importorskip("moto", reason="moto is not installed (archon-dagster[sandbox])")
pytestmark = [pytest.mark.sandbox, pytest.mark.long, pytest.mark.timeout(300)]


@dataclass
class Case:
    """A control plane whose backups go to S3 through a proxy."""

    up: Up
    proxy: FaultyProxy
    environment: dict[str, str]

    def asked_for(self, method: str, containing: str) -> bool:
        return any(request.startswith(method) and containing in request for request in self.proxy.requests)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    with object_storage() as storage, FaultyProxy(storage.endpoint) as proxy, pytest.MonkeyPatch.context() as patch:
        environment = storage.environment | {"ARCHON_S3_ENDPOINT": proxy.endpoint}
        for name, value in environment.items():
            patch.setenv(name, value)
        with running_up(tmp_path_factory.mktemp("cancel") / "home") as up:
            yield Case(up, proxy, environment)
            proxy.end.set()


@pytest.fixture(autouse=True)
def its_variables(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in case.environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("trouble", ["silent", "slow"])
def test_a_run_terminated_while_its_storage_is(trouble: str, case: Case, tmp_path: Path) -> None:
    case.proxy.requests.clear()
    if trouble == "silent":
        case.proxy.fail("silence", method="PUT", containing="/chunks/")
    else:
        case.proxy.latency = 0.15
    with launched(case.up, tmp_path / "said", "backup") as run:
        eventually(lambda: case.asked_for("PUT", "/chunks/"), 60)
        taken = terminate(case.up, run)
    case.proxy.mend()
    case.proxy.latency = 0
    assert taken < PROMPT, (tmp_path / "said").read_text()
    repository = Repository.on(open_backend(os.environ["ARCHON_REPOSITORY"]))
    assert repository.holder() is None
    assert repository.backups() == []


def test_a_backup_terminated_while_the_configuration_is_exported(case: Case, tmp_path: Path) -> None:
    """Files are read at once: what their export can wait for is a storage that has not seen them yet."""
    (settings_of(case.up.home).project_dir / "config" / "new.yaml").write_text("nobody: has seen this\n")
    case.proxy.requests.clear()
    case.proxy.fail("silence", method="PUT", containing="/chunks/")
    with launched(case.up, tmp_path / "said", "backup", "--only", "configuration") as run:
        eventually(lambda: case.asked_for("PUT", "/chunks/"), 60)
        taken = terminate(case.up, run)
    case.proxy.mend()
    assert taken < PROMPT, (tmp_path / "said").read_text()
    repository = Repository.on(open_backend(os.environ["ARCHON_REPOSITORY"]))
    assert repository.holder() is None
    assert repository.backups() == []


def test_the_next_backup_succeeds(case: Case) -> None:
    done = case.up.archon("backup")
    assert done.returncode == 0, done.stderr
    repository = Repository.on(open_backend(os.environ["ARCHON_REPOSITORY"]))
    assert [entry.state for entry in repository.backups()] == ["complete"]


def test_a_restore_terminated_while_its_storage_is_silent_has_touched_nothing(case: Case, tmp_path: Path) -> None:
    case.proxy.requests.clear()
    case.proxy.fail("silence", method="GET", containing="/chunks/")
    with launched(case.up, tmp_path / "said", "restore", "latest", "--confirm", "RESTORE") as run:
        eventually(lambda: case.asked_for("GET", "/chunks/"), 60)
        taken = terminate(case.up, run)
    case.proxy.mend()
    assert taken < PROMPT, (tmp_path / "said").read_text()
    repository = Repository.on(open_backend(os.environ["ARCHON_REPOSITORY"]))
    assert repository.holder() is None
    assert len(repository.backups()) == 1  # not even a safety backup was begun
    assert JournalFile(settings_of(case.up.home)).read() is None
