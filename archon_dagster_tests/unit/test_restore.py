"""What a restore promises, on a small platform of folders: everything comes back, or everything stays."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.context import Step
from archon_dagster.errors import (
    ArchonError,
    BackupNotFound,
    Cancelled,
    ConfirmationMissing,
    DamagedBackup,
    RestoreFailed,
    ServiceError,
    StoreError,
    StoreUnavailable,
)
from archon_dagster.repository.manifest import Manifest
from archon_dagster.repository.verification import CheckRecord
from archon_dagster.restore.journal import JournalFile
from archon_dagster.restore.plan import make_plan
from archon_dagster.restore.restore import RestoreRequest, RestoreResult, restore_backup
from archon_dagster.stores.base import STORES
from archon_dagster_tests.unit.platform_double import Platform, failing


class Case:
    """A platform that was backed up and has changed since."""

    def __init__(self, home: Path):
        self.platform = Platform(home)
        self.backed_up = self.platform.live()
        self.backup: Manifest = take_backup(self.platform.context, BackupRequest(quiesce=False)).manifest
        for name, store in self.platform.stores.items():
            store.put("0", f"{name} changed since")
            store.put("new", f"{name} new since")
        self.changed = self.platform.live()

    def restore(self, **options: object) -> RestoreResult:
        request = {"selector": self.backup.id, "confirm": "RESTORE", **options}
        return restore_backup(self.platform.context, RestoreRequest(**request))  # type: ignore[arg-type]

    def fail(self, store: str, fault: Callable[[str], None]) -> None:
        self.platform.stores[store].fault = fault  # type: ignore[index]


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    # the small platform's services are switches: there is nothing to probe
    monkeypatch.setattr("archon_dagster.restore.restore.wait_until_ready", lambda *_, **__: {})
    return Case(tmp_path)


def test_everything_comes_back(case: Case) -> None:
    result = case.restore()
    assert case.platform.live() == case.backed_up
    assert result.before == result.after
    assert not JournalFile(case.platform.settings).path.exists()


def test_the_undo_command_goes_back_to_what_was_there(case: Case) -> None:
    result = case.restore()
    assert result.safety is not None
    assert result.undo == f"archon restore {result.safety.id} --confirm RESTORE"
    case.restore(selector=result.safety.id)
    assert case.platform.live() == case.changed


def test_a_backup_that_failed_a_check_is_restored_with_a_warning(case: Case) -> None:
    assert not any("careful" in note for note in case.restore().notes)
    failed = CheckRecord(name="readable", passed=False, time=datetime.now(UTC))
    case.platform.context.repository.record(case.backup.id, failed)
    result = case.restore()
    assert f"careful: backup {case.backup.id} is not one to rely on: failed check readable" in result.notes


def test_only_the_named_store_is_touched(case: Case) -> None:
    case.restore(only=("graph",))
    assert case.platform.live() == {**case.changed, "graph": case.backed_up["graph"]}


@pytest.mark.parametrize("confirm", ["", "yes", "restore"])
def test_without_the_word_nothing_is_touched(case: Case, confirm: str) -> None:
    with pytest.raises(ConfirmationMissing):
        case.restore(confirm=confirm)
    assert case.platform.live() == case.changed
    assert case.platform.runtime.done == []


def test_an_unknown_selector_touches_nothing(case: Case) -> None:
    with pytest.raises(BackupNotFound):
        case.restore(selector="19990101")
    assert case.platform.runtime.done == []


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("moment", ["restore", "restored", "fingerprint"])
def test_a_failure_at_any_step_puts_everything_back(case: Case, store: str, moment: str) -> None:
    calls = 0

    def once(verb: str) -> None:
        nonlocal calls
        if verb == moment:
            calls += 1
            if calls == 1:
                failing(moment)(verb)

    case.fail(store, once)
    with pytest.raises(RestoreFailed, match=r"put back .* identical"):
        case.restore()
    assert case.platform.live() == case.changed
    assert case.platform.runtime.states["archon-search"] == "running"
    assert JournalFile(case.platform.settings).read() is None


def test_data_that_are_not_what_the_backup_promises_are_put_back(case: Case) -> None:
    graph = case.platform.stores["graph"]
    spoilt = False

    def spoil(verb: str) -> None:
        nonlocal spoilt
        if verb == "restored" and not spoilt:
            spoilt = True
            graph.put("0", "not what was backed up")

    graph.fault = spoil
    with pytest.raises(RestoreFailed, match="compare fingerprints"):
        case.restore()
    assert case.platform.live() == case.changed


def test_a_cancelled_restore_puts_everything_back(case: Case) -> None:
    def cancel(verb: str) -> None:
        if verb == "restored" and not case.platform.context.cancel.is_set():
            case.platform.context.cancel.set()
            case.platform.stores["vectors"].fault = lambda verb: None

    case.fail("vectors", cancel)
    with pytest.raises(Cancelled, match="identical"):
        case.restore()
    assert case.platform.live() == case.changed


def test_a_damaged_backup_touches_nothing(case: Case) -> None:
    chunk = case.backup.of_store("graph")[0].chunks[0].sha256
    path = Path(case.platform.settings.repository) / "chunks" / chunk[:2] / chunk
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    with pytest.raises(DamagedBackup, match=f"{case.backup.id}.*{chunk[:12]}"):
        case.restore()
    assert case.platform.live() == case.changed
    assert case.platform.runtime.done == []


def test_a_store_that_cannot_be_copied_stops_the_restore(case: Case) -> None:
    case.fail("graph", failing("export"))
    with pytest.raises(RestoreFailed, match="no way back"):
        case.restore()
    assert case.platform.live() == case.changed
    assert case.platform.runtime.states["archon-search"] == "running"


def test_a_store_that_cannot_be_copied_can_be_restored_on_the_operators_word(case: Case) -> None:
    case.fail("graph", failing("export"))
    result = case.restore(without_safety_copy=True)
    assert case.platform.live() == case.backed_up
    assert set(result.not_copied) == {"graph"}


def test_a_backup_that_does_not_fit_the_server_stops_no_service(case: Case) -> None:
    case.fail("vectors", failing("preflight"))
    with pytest.raises(StoreUnavailable):
        case.restore()
    assert case.platform.live() == case.changed
    assert all(verb == "up" for verb, _ in case.platform.runtime.done)


def test_writers_are_stopped_before_and_started_after(case: Case) -> None:
    case.restore(only=("graph",))
    verbs = [(verb, names) for verb, names in case.platform.runtime.done if "archon-search" in names]
    assert [verb for verb, _ in verbs] == ["stop", "up"]


def test_changed_configuration_is_read_again_by_the_services(case: Case) -> None:
    case.restore()
    assert ("recreate", ("archon-search",)) in case.platform.runtime.done


def test_a_killed_restore_is_noticed_and_its_services_are_started_by_the_next(case: Case) -> None:
    journal = JournalFile(case.platform.settings)
    begun = journal.begin(case.backup.id, "restore graph")
    journal.update(begun, stopped=("archon-search",), touched=("graph",))
    case.platform.runtime.states["archon-search"] = "exited"
    case.restore()
    assert case.platform.runtime.states["archon-search"] == "running"
    assert journal.read() is None


def test_a_plan_changes_nothing_and_says_what_would(case: Case) -> None:
    plan = make_plan(case.platform.context, "latest")
    assert case.platform.live() == case.changed
    assert case.platform.runtime.done == []
    changes = {(change.store, change.part): (change.now, change.after) for change in plan.changes}
    assert changes["graph", "records"] == (11, 10)
    assert plan.stops == ("archon-search",)


def interrupt(case: Case, store: str = "graph") -> str:
    """Leave what a restore killed in the middle of a store leaves; returns the id of its safety backup."""
    safety = take_backup(case.platform.context, BackupRequest(kind="safety", quiesce=False)).manifest.id
    journal = JournalFile(case.platform.settings)
    begun = journal.begin(case.backup.id, f"restore {store}")
    journal.update(begun, touched=(store,), safety=safety)
    case.platform.stores[store].put("0", "half restored")  # type: ignore[index]
    return safety


def test_a_half_restored_platform_is_not_backed_up(case: Case) -> None:
    interrupt(case)
    with pytest.raises(StoreError, match=rf"graph may be half restored[\s\S]*{case.backup.id}"):
        take_backup(case.platform.context, BackupRequest(quiesce=False))
    assert take_backup(case.platform.context, BackupRequest(stores=("vectors",), quiesce=False)).good


@pytest.mark.parametrize("moment", ["preflight", "restored"])
def test_the_first_safety_backup_stays_the_way_back_until_a_restore_succeeds(case: Case, moment: str) -> None:
    safety = interrupt(case)
    calls = 0

    def once(verb: str) -> None:
        nonlocal calls
        calls += verb == moment
        if verb == moment and calls == 1:
            failing(moment)(verb)

    case.fail("graph", once)
    with pytest.raises(ArchonError):
        case.restore()
    left = JournalFile(case.platform.settings).read()
    assert left is not None
    assert left.safety == safety
    assert safety in left.advice
    case.restore()
    assert JournalFile(case.platform.settings).read() is None


def test_a_restore_of_another_store_does_not_settle_an_interrupted_one(case: Case) -> None:
    safety = interrupt(case)
    case.restore(only=("vectors",))
    left = JournalFile(case.platform.settings).read()
    assert left is not None
    assert (left.touched, left.safety) == (("graph",), safety)


def test_the_advice_repeats_which_stores_were_asked_for(case: Case) -> None:
    journal = JournalFile(case.platform.settings)
    begun = journal.begin(case.backup.id, "restore graph", ("graph",))
    assert begun.advice.endswith(f"archon restore {case.backup.id} --confirm RESTORE --only graph")
    assert make_plan(case.platform.context, "latest", ("graph",)).command.endswith("--confirm RESTORE --only graph")


def test_latest_means_everything_unless_stores_are_named(case: Case) -> None:
    partial = take_backup(case.platform.context, BackupRequest(stores=("configuration",), quiesce=False)).manifest
    assert make_plan(case.platform.context, "latest").backup.id == case.backup.id
    assert make_plan(case.platform.context, "latest", ("configuration",)).backup.id == partial.id


def test_an_unexpected_error_puts_everything_back_too(case: Case) -> None:
    calls = 0

    def break_once(verb: str) -> None:
        nonlocal calls
        calls += verb == "restore"
        if verb == "restore" and calls == 1:
            raise OSError(30, "Read-only file system")

    case.fail("relational", break_once)
    with pytest.raises(RestoreFailed, match="identical"):
        case.restore()
    assert case.platform.live() == case.changed


def test_writers_stay_stopped_while_the_data_are_in_doubt(case: Case) -> None:
    case.fail("graph", failing("restore"))
    with pytest.raises(RestoreFailed, match=r"not everything could be put back[\s\S]*stay stopped"):
        case.restore()
    assert case.platform.runtime.states["archon-search"] == "exited"
    assert JournalFile(case.platform.settings).read() is not None


def test_a_restore_that_lost_the_lock_writes_no_more(case: Case) -> None:
    lock = Path(case.platform.settings.repository) / "locks" / "platform.json"

    def lose(verb: str) -> None:
        if verb == "restored":
            record = json.loads(lock.read_text())
            lock.chmod(0o644)
            lock.write_text(json.dumps({**record, "holder": "somebody else"}))

    case.fail("vectors", lose)
    with pytest.raises(ArchonError, match="lock"):
        case.restore()
    assert case.platform.stores["relational"].records() == case.changed["relational"]


def full_disk(*verbs: str) -> Callable[[str], None]:
    def fault(verb: str) -> None:
        if verb in verbs:
            raise OSError(errno.ENOSPC, "No space left on device", "/somewhere/scratch")

    return fault


def test_a_full_disk_is_named_with_what_to_do(case: Case) -> None:
    case.fail("graph", full_disk("preflight"))
    with pytest.raises(ArchonError, match=r"No space left on device \(/somewhere/scratch\)\nwhat to do: free space"):
        case.restore()
    assert case.platform.live() == case.changed


def test_a_store_that_was_not_changed_counts_as_put_back_where_the_disk_is_too_full_to_write_it(case: Case) -> None:
    graph = case.platform.stores["graph"]
    graph.restore = lambda source, work: full_disk("restore")("restore")  # type: ignore[method-assign]
    with pytest.raises(RestoreFailed, match=r"graph put back .* identical[\s\S]*No space left on device"):
        case.restore()
    assert case.platform.live() == case.changed
    assert case.platform.runtime.states["archon-search"] == "running"
    assert JournalFile(case.platform.settings).read() is None


def test_the_advice_after_a_failure_names_the_stores_again(case: Case) -> None:
    case.fail("graph", once(failing("restored")))
    with pytest.raises(RestoreFailed, match=rf"archon restore {case.backup.id} --confirm RESTORE --only graph"):
        case.restore(only=("graph",))


def once(fault: Callable[[str], None]) -> Callable[[str], None]:
    raised: list[str] = []

    def first(verb: str) -> None:
        try:
            if not raised:
                fault(verb)
        except BaseException:
            raised.append(verb)
            raise

    return first


def test_a_journal_that_cannot_be_written_leaves_no_half_file(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archon_dagster.restore.journal.os.fsync", lambda _: full_disk("fsync")("fsync"))
    journal = JournalFile(case.platform.settings)
    with pytest.raises(OSError, match="No space left"):
        journal.begin(case.backup.id, "start the stores")
    assert list(journal.path.parent.glob("restore.*")) == []


def test_a_platform_that_is_down_is_named_with_what_starts_it_before_anything_is_touched(case: Case) -> None:
    case.platform.runtime.states.clear()
    with pytest.raises(ServiceError, match=r"not running: qdrant, memgraph, postgres; nothing was touched") as failure:
        case.restore()
    assert "archon sandbox up" in str(failure.value)
    assert case.platform.runtime.done == []
    assert case.platform.live() == case.changed
    assert JournalFile(case.platform.settings).read() is None


def test_only_the_servers_of_the_stores_asked_for_have_to_be_there(case: Case) -> None:
    case.platform.runtime.states.clear()
    case.restore(only=("configuration",))
    assert case.platform.live()["configuration"] == case.backed_up["configuration"]


def test_a_step_that_fails_is_told_as_failed(case: Case) -> None:
    told: list[Step] = []
    case.platform.context = replace(case.platform.context, report=lambda news: told.append(news))  # type: ignore[arg-type]
    case.fail("graph", once(failing("restored")))
    with pytest.raises(RestoreFailed):
        case.restore()
    ended = {news.name: news.failed for news in told if isinstance(news, Step) and news.seconds is not None}
    assert ended["restore vectors"] == ""
    assert ended["restore graph"] == "injected: no answer at restored"
    assert ended["put back"] == ""


def test_a_start_that_fails_is_told_as_failed(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def unready(names: list[str], *_: object, **__: object) -> None:
        if "archon-search" in names:
            raise ServiceError("archon-search is not ready after 3 s\nlast log lines of archon-search:\n…")

    monkeypatch.setattr("archon_dagster.restore.restore.wait_until_ready", unready)
    told: list[Step] = []
    case.platform.context = replace(case.platform.context, report=lambda news: told.append(news))  # type: ignore[arg-type]
    result = case.restore(only=("graph",))
    assert told[-1].name == "start"
    assert told[-1].failed == "archon-search is not ready after 3 s"
    assert set(result.unhealthy) == {"archon-search"}


def test_a_server_that_was_still_dying_when_it_was_asked_to_start_is_started_once_more(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[tuple[str, ...]] = []

    def wait(names: list[str], *_: object, **__: object) -> None:
        waits.append(tuple(names))
        if len(waits) == 2:  # the first one is on the way forth
            raise ServiceError("postgres is not ready: process exited")

    monkeypatch.setattr("archon_dagster.restore.restore.wait_until_ready", wait)
    case.fail("relational", once(failing("restored")))
    with pytest.raises(RestoreFailed, match="identical"):
        case.restore(only=("relational",))
    assert waits == [("postgres",)] * 3
    assert case.platform.live() == case.changed


def test_a_restore_that_succeeded_is_remembered_with_its_way_back(case: Case) -> None:
    result = case.restore(only=("graph",))
    last = JournalFile(case.platform.settings).last()
    assert last is not None
    assert (last.backup, last.stores, last.by, last.undo) == (case.backup.id, ("graph",), "", result.undo)
    assert abs((datetime.now(UTC) - last.at).total_seconds()) < 60


def test_a_restore_that_failed_is_not_remembered_as_one(case: Case) -> None:
    case.fail("graph", failing("restored"))
    with pytest.raises(RestoreFailed):
        case.restore(only=("graph",))
    assert JournalFile(case.platform.settings).last() is None
