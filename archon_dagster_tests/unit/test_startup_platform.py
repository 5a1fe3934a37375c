"""A whole start, and a cold one: what is done in which order, what is not touched, and what a failure leaves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from archon_dagster.configuration.journal import Journal as Change
from archon_dagster.configuration.journal import JournalFile as ConfigurationJournal
from archon_dagster.configuration.target import digest
from archon_dagster.context import Step
from archon_dagster.errors import (
    Cancelled,
    ConfirmationMissing,
    RepositoryBusy,
    RestoreFailed,
    ServiceError,
    StoreError,
)
from archon_dagster.health.end_to_end import Busy, Outcome
from archon_dagster.platform.runtime.processes import ProcessesRuntime
from archon_dagster.platform.settings import Settings
from archon_dagster.repository.repository import Repository
from archon_dagster.restore.journal import JournalFile
from archon_dagster.startup import validation
from archon_dagster.startup.cold_start import ColdStartRequest, cold_start
from archon_dagster.startup.context import StartContext
from archon_dagster.startup.counts import note_counts, read_counts
from archon_dagster.startup.platform import StartRequest, start_platform
from archon_dagster_tests.small_services import SmallPlatform
from archon_dagster_tests.unit.platform_double import FolderStore

NAMES = ("qdrant", "archon-bridge", "archon-search")
COLD = ColdStartRequest("COLD-START")


class NotingRuntime(ProcessesRuntime):
    """Remembers what it was told to do; ``fault`` is called with each verb before."""

    def __init__(self, services: Path):
        super().__init__(services)
        self.done: list[str] = []
        self.fault: Callable[[str], None] = lambda verb: None

    def _verb(self, verb: str) -> None:
        self.done.append(verb)
        self.fault(verb)

    def up(self, *services: str) -> None:
        self._verb("up")
        super().up(*services)

    def down(self) -> None:
        self._verb("down")
        super().down()

    def pull(self, *services: str) -> None:
        self._verb("pull")


class Small(SmallPlatform):
    """Three small services, one of them with a store of folders, and an end-to-end test that does as it is told."""

    def __init__(self, home: Path, **settings: Any):
        super().__init__(home, NAMES, ARCHON_START_PATIENCE=0.5, **settings)
        self.runtime = NotingRuntime(home / "services")
        self.store = FolderStore("vectors", home / "live")
        self.outcomes: list[Outcome | Busy] = []
        self.tested = 0
        self.steps: list[Step] = []

    def records(self, count: int) -> None:
        for file in self.store.folder.iterdir():
            file.unlink()
        for number in range(count):
            self.store.put(str(number), "a vector")

    def functional(self, settings: Settings, limit: float) -> Outcome:
        self.tested += 1
        outcome = self.outcomes.pop(0) if self.outcomes else Outcome(True, "indexed, found, deleted", 0.1)
        if isinstance(outcome, Busy):
            raise outcome
        return outcome

    @property
    def context(self) -> StartContext:
        return StartContext(
            self.settings,
            self.runtime,
            threading.Event(),
            lambda news: self.steps.append(news) if isinstance(news, Step) else None,
            self.functional,
            lambda *_: {"vectors": self.store},
        )


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    small = Small(tmp_path / "home")
    yield small
    ProcessesRuntime(small.home / "services").down()


# starting


def test_a_start_ends_with_counts_and_the_end_to_end_test(small: Small) -> None:
    small.records(20)
    report = start_platform(small.context, StartRequest())
    report.raise_for_failure()
    assert report.headline == "the platform is up"
    assert (report.tested.passed, small.tested) == (True, 1)
    assert read_counts(small.home)["vectors"].counts == {"records": 20}
    assert all(one.seconds > 0 for one in report.started.services)


def test_qdrant_is_started_although_it_has_no_health_page(small: Small) -> None:
    start_platform(small.context, StartRequest(("qdrant",))).raise_for_failure()
    assert httpx.get(f"{small.settings.qdrant_url}/health", trust_env=False).status_code == 404


def test_a_start_says_which_external_service_is_not_well_and_goes_on(tmp_path: Path) -> None:
    small = Small(tmp_path, OLLAMA_BASE_URL="http://127.0.0.1:1")
    small.outcomes = [Outcome(False, "find: HTTP 500", 0.1, "find")]
    try:
        report = start_platform(small.context, StartRequest())
    finally:
        small.runtime.down()
    assert {one.name: one.state for one in report.externals} == {"ollama": "bad", "supabase": "not checked"}
    assert report.started.missing == ()
    with pytest.raises(ServiceError, match=r"does not do its work: find[\s\S]*ollama bad: "):
        report.raise_for_failure()


def test_a_platform_that_is_ready_is_not_touched_and_the_report_says_so(small: Small) -> None:
    start_platform(small.context, StartRequest()).raise_for_failure()
    before, small.tested, small.runtime.done = small.instances(), 0, []
    Repository.open(small.settings.repository, create=True)
    with Repository.open(small.settings.repository).lock("backup"):  # not even the lock is wanted
        report = start_platform(small.context, StartRequest())
    assert report.untouched
    assert "nothing was touched" in report.headline
    assert small.instances() == before
    assert (small.runtime.done, small.tested) == ([], 0)


def test_the_lock_is_held_while_services_are_started(small: Small) -> None:
    Repository.open(small.settings.repository, create=True)
    seen: list[str] = []
    small.runtime.fault = lambda _: seen.append(Repository.open(small.settings.repository).holder().purpose)  # type: ignore[union-attr]
    start_platform(small.context, StartRequest()).raise_for_failure()
    assert set(seen) == {"start"}
    assert Repository.open(small.settings.repository).holder() is None


@pytest.mark.parametrize("how", ["start", "cold start"])
def test_nothing_is_touched_while_somebody_else_works_on_the_platform(small: Small, how: str) -> None:
    Repository.open(small.settings.repository, create=True)
    with Repository.open(small.settings.repository).lock("restore of B"), pytest.raises(RepositoryBusy, match="B"):
        start_platform(small.context, StartRequest()) if how == "start" else cold_start(small.context, COLD)
    assert small.runtime.done == []


@pytest.mark.parametrize("repository", ["s3://bucket/archon", "{home}/not a directory"])
def test_a_repository_that_is_away_does_not_keep_the_platform_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: str
) -> None:
    for name, value in {"ENDPOINT": "http://127.0.0.1:1", "KEY": "key", "SECRET": "secret"}.items():
        monkeypatch.setenv(f"ARCHON_S3_{name}", value)
    (tmp_path / "not a directory").write_text("")
    small = Small(tmp_path / "home", ARCHON_REPOSITORY=repository.format(home=tmp_path))
    try:
        report = start_platform(small.context, StartRequest())
    finally:
        small.runtime.down()
    report.raise_for_failure()
    assert "without the platform's lock" in report.warnings[0]


def test_a_change_of_the_configuration_that_was_killed_is_told_with_the_file_in_place(small: Small) -> None:
    """Killed at any step, the next start says which whole file it found."""
    file = small.settings.project_dir / ".env"
    before = digest(file.read_bytes() if file.exists() else None)
    ConfigurationJournal(small.settings.home).write(
        Change(record="r", source="/new.env", step="write", before=before, after=digest(b"A=1\n"))
    )
    report = start_platform(small.context, StartRequest())
    report.raise_for_failure()
    (said,) = [one for one in report.warnings if "configuration" in one]
    assert "did not end; the old file is in place, as a whole; finish it: archon config apply /new.env" in said


def test_what_a_killed_restore_left_half_done_is_not_written_to(small: Small) -> None:
    file = JournalFile(small.settings)
    file.update(file.begin("20261124T030000Z-7f3a", "restore vectors"), touched=("vectors",))
    with pytest.raises(RestoreFailed, match=r"half restored[\s\S]*archon restore 20261124T030000Z-7f3a"):
        start_platform(small.context, StartRequest())
    assert small.runtime.done == []
    start_platform(small.context, StartRequest(("qdrant",))).raise_for_failure()  # the store itself may be looked at


def test_a_restore_at_work_is_not_taken_for_one_that_was_killed(small: Small) -> None:
    Repository.open(small.settings.repository, create=True)
    file = JournalFile(small.settings)
    file.update(file.begin("20261124T030000Z-7f3a", "restore vectors"), touched=("vectors",))
    with Repository.open(small.settings.repository).lock("restore of B"), pytest.raises(RepositoryBusy):
        start_platform(small.context, StartRequest())


def test_a_store_that_does_not_come_up_is_named_with_what_puts_its_data_back(small: Small) -> None:
    small.tell("qdrant", "crash")
    with pytest.raises(ServiceError, match=r"disk on fire[\s\S]*archon restore latest --only vectors --plan"):
        start_platform(small.context, StartRequest()).raise_for_failure()


def test_a_runtime_without_services_says_what_starts_the_platform(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="archon sandbox up"):
        start_platform(replace(Small(tmp_path).context, runtime=ProcessesRuntime(tmp_path / "none")), StartRequest())


# data loss


def test_a_store_that_came_up_empty_is_an_error_and_the_servers_stay_up(small: Small) -> None:
    small.records(20)
    start_platform(small.context, StartRequest()).raise_for_failure()
    small.runtime.kill("qdrant")
    small.records(0)
    report = start_platform(small.context, StartRequest())
    with pytest.raises(StoreError, match=r"vectors came up with 0 records[\s\S]*left running"):
        report.raise_for_failure()
    assert set(small.instances()) == set(NAMES)
    assert report.tested.passed is None  # nothing is written to such a store


def test_a_loss_is_told_again_until_it_is_mended_or_accepted(small: Small) -> None:
    note_counts(small.home, {"vectors": {"records": 20}})
    for _ in range(2):  # the second time the platform is ready, and its data are missing all the same
        with pytest.raises(StoreError, match="--accept-counts"):
            start_platform(small.context, StartRequest()).raise_for_failure()
    start_platform(small.context, StartRequest(accept_counts=True)).raise_for_failure()
    start_platform(small.context, StartRequest()).raise_for_failure()


# the end-to-end test


def test_a_platform_that_is_ready_and_does_not_work_is_a_failure(small: Small) -> None:
    small.outcomes = [Outcome(False, "find: HTTP 200, but the document is not among the 0 results", 3.0, "find")]
    report = start_platform(small.context, StartRequest())
    with pytest.raises(ServiceError, match=r"does not do its work: find: HTTP 200"):
        report.raise_for_failure()
    assert set(small.instances()) == set(NAMES)


def test_another_end_to_end_test_is_waited_for(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "_PAUSE", 0.01)
    small.outcomes = [Busy("another one is running"), Busy("another one is running")]
    assert start_platform(small.context, StartRequest()).tested.passed is True
    assert small.tested == 3


# a cold start


def test_a_cold_start_is_confirmed_in_writing(small: Small) -> None:
    with pytest.raises(ConfirmationMissing, match="archon cold-start --confirm COLD-START"):
        cold_start(small.context, ColdStartRequest("cold-start"))
    assert small.runtime.done == []


def test_a_cold_start_takes_everything_down_and_starts_it(small: Small) -> None:
    start_platform(small.context, StartRequest()).raise_for_failure()
    before, small.runtime.done = small.instances(), []
    report = cold_start(small.context, COLD)
    report.raise_for_failure()
    after = small.instances()
    assert set(after) == set(NAMES)
    assert not set(after.values()) & set(before.values())
    assert small.runtime.done == ["down", "up", "up", "up"]


def test_an_external_service_that_is_not_well_is_found_before_anything_goes_down(tmp_path: Path) -> None:
    small = Small(tmp_path, OLLAMA_BASE_URL="http://127.0.0.1:1")
    try:
        start_platform(small.context, StartRequest()).raise_for_failure()
        before, small.runtime.done = small.instances(), []
        with pytest.raises(ServiceError, match=r"ollama bad[\s\S]*nothing was touched"):
            cold_start(small.context, COLD)
        assert (small.instances(), small.runtime.done) == (before, [])
        cold_start(small.context, replace(COLD, despite_externals=True)).raise_for_failure()
        assert set(small.instances()) == set(NAMES)
    finally:
        ProcessesRuntime(small.home / "services").down()


def test_images_are_pulled_before_anything_goes_down(small: Small) -> None:
    start_platform(small.context, StartRequest()).raise_for_failure()
    before, small.runtime.done = small.instances(), []
    small.runtime.fault = refusing("pull")
    with pytest.raises(ServiceError, match="injected"):
        cold_start(small.context, replace(COLD, pull=True))
    assert (small.instances(), small.runtime.done) == (before, ["pull"])
    small.runtime.fault = lambda _: None
    cold_start(small.context, replace(COLD, pull=True)).raise_for_failure()
    assert small.runtime.done[1:3] == ["pull", "down"]


def test_a_cold_start_touches_nobody_elses_services(small: Small, tmp_path: Path) -> None:
    other = SmallPlatform(tmp_path / "other", ["archon-bridge"])
    other.runtime.up()
    before = other.instances()
    try:
        cold_start(small.context, COLD).raise_for_failure()
        assert other.instances() == before != {}
    finally:
        other.runtime.down()


def test_a_failure_after_down_says_how_to_go_on(small: Small) -> None:
    small.runtime.fault = refusing("down")
    with pytest.raises(ServiceError, match=r"injected[\s\S]*data are where they were; go on with: archon start"):
        cold_start(small.context, COLD)


def test_what_a_cold_start_loses_is_noticed_without_any_backup(small: Small) -> None:
    small.records(20)
    small.runtime.up()
    start_platform(small.context, StartRequest()).raise_for_failure()
    small.records(40)
    small.runtime.fault = lambda verb: small.records(15) if verb == "down" else None
    with pytest.raises(StoreError, match=r"15 records, the count of .* knows of 40"):
        cold_start(small.context, COLD).raise_for_failure()


def test_a_cancelled_cold_start_says_that_the_data_are_there(small: Small) -> None:
    context = small.context
    small.runtime.fault = lambda verb: context.cancel.set() if verb == "up" else None
    with pytest.raises(Cancelled, match=r"data are where they were; go on with: archon start"):
        cold_start(context, COLD)


def refusing(refused: str) -> Callable[[str], None]:
    def fault(verb: str) -> None:
        if verb == refused:
            raise ServiceError(f"injected: {verb}")

    return fault
