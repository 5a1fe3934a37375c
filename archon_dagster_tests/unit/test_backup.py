"""What a backup promises, on a small platform of folders."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from archon_dagster.backup.backup import BackupRequest, BackupResult, take_backup
from archon_dagster.backup.checks import raise_for_failed, verify_backup
from archon_dagster.backup.summary import backup_numbers, page
from archon_dagster.context import OperationContext
from archon_dagster.errors import (
    BackupNotFound,
    Cancelled,
    ConfigurationError,
    DamagedBackup,
    RepositoryBusy,
    StoreUnavailable,
)
from archon_dagster.platform.quiesce import thaw_leftovers
from archon_dagster.repository.names import chunk_key
from archon_dagster.repository.verification import failed_checks
from archon_dagster.stores.base import Source, StoreName, Verdict, Work
from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.unit.platform_double import Platform, failing

UNPAUSED = BackupRequest(quiesce=False)


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    monkeypatch.setenv("ARCHON_RUNTIME", "elsewhere")  # for the guard, a process of its own, which has nothing to hold
    return Platform(tmp_path)


def test_a_backup_holds_every_store_and_passes_every_check(platform: Platform) -> None:
    result = take_backup(platform.context, UNPAUSED)
    assert result.manifest.stores == ("vectors", "graph", "relational", "configuration")
    assert {check.name for check in result.checks if check.passed} == {
        "complete", "digests", "readable", "counts_match_live", "counts_plausible",
    }  # fmt: skip
    assert platform.repository.resolve("latest").id == result.manifest.id


def test_the_manifest_says_what_was_backed_up_of_which_version_how_much_and_with_which_digest(
    platform: Platform,
) -> None:
    platform.stores["vectors"].put("odd", 'a "quoted" word')
    note = 'before the "big" change\nof \\ everything'
    made = take_backup(platform.context, BackupRequest(quiesce=False, note=note)).manifest
    manifest = platform.repository.resolve(made.id)  # as it is read back
    assert manifest.note == note
    assert dict(manifest.versions) == dict.fromkeys(platform.stores, "folder 1")
    for name, artifact in ((name, *manifest.of_store(name)) for name in platform.stores):
        assert artifact.counts == {"records": 11 if name == "vectors" else 10}
        assert artifact.size == sum(chunk.size for chunk in artifact.chunks) > 0
        assert len(artifact.sha256) == 64


def test_a_store_that_is_down_ends_the_backup_before_it_begins(platform: Platform) -> None:
    platform.stores["graph"].fault = failing("describe")
    with pytest.raises(StoreUnavailable, match="injected"):
        take_backup(platform.context, UNPAUSED)
    assert platform.repository.backups() == []


@pytest.mark.parametrize("moment", ["export", "copy"])
def test_a_store_that_dies_midway_leaves_no_backup_and_no_lock(platform: Platform, moment: str) -> None:
    platform.stores["relational"].fault = failing(moment)
    with pytest.raises(StoreUnavailable, match="injected"):
        take_backup(platform.context, UNPAUSED)
    with pytest.raises(BackupNotFound):
        platform.repository.resolve("latest")
    platform.stores["relational"].fault = lambda verb: None
    assert take_backup(platform.context, UNPAUSED).good


def test_a_store_that_is_suddenly_empty_fails_the_check_and_is_not_latest(platform: Platform) -> None:
    good = take_backup(platform.context, UNPAUSED).manifest
    for record in platform.stores["vectors"].folder.iterdir():
        record.unlink()
    result = take_backup(platform.context, UNPAUSED)
    assert not result.good
    assert [check.name for check in result.checks if not check.passed] == ["counts_plausible"]
    assert platform.repository.resolve("latest").id == good.id
    assert platform.repository.resolve(result.manifest.id).id == result.manifest.id


def test_what_writers_added_since_the_store_was_asked_is_no_fault(platform: Platform) -> None:
    store = platform.stores["vectors"]

    def write(verb: str) -> None:
        if verb in ("export", "copy"):  # before the capture, and after it
            for number in range(300):
                store.put(f"{verb}-{number}", "new")

    store.fault = write
    result = take_backup(platform.context, UNPAUSED)
    assert result.manifest.of_store("vectors")[0].counts == {"records": 310}
    assert result.good, result.checks


def test_a_capture_without_what_the_store_has_before_and_now_fails_the_check(platform: Platform) -> None:
    store = platform.stores["vectors"]
    for number in range(300):
        store.put(f"more-{number}", "there")

    def hide(verb: str) -> None:
        if verb == "export":
            for number in range(200):
                (store.folder / f"more-{number}").unlink()
        elif verb == "copy":
            for number in range(200):
                store.put(f"more-{number}", "there")

    store.fault = hide
    result = take_backup(platform.context, UNPAUSED)
    failed = [check for check in result.checks if not check.passed]
    assert [check.name for check in failed] == ["counts_match_live"]
    assert "vectors records: 110 captured, the live store had 310 before and has 310 now" in failed[0].detail


def test_an_operator_can_accept_that_something_vanished(platform: Platform) -> None:
    take_backup(platform.context, UNPAUSED)
    for record in platform.stores["vectors"].folder.iterdir():
        record.unlink()
    accepted = take_backup(platform.context, BackupRequest(quiesce=False, accept_counts=True))
    assert accepted.good
    assert platform.repository.resolve("latest").id == accepted.manifest.id


def test_a_backup_whose_run_died_before_its_checks_is_not_latest(platform: Platform) -> None:
    good = take_backup(platform.context, UNPAUSED).manifest

    def die(verb: str) -> None:
        if verb == "verify":
            raise KeyboardInterrupt

    platform.stores["graph"].fault = die
    with pytest.raises(KeyboardInterrupt):
        take_backup(platform.context, UNPAUSED)
    complete = [entry.id for entry in platform.repository.backups() if entry.state == "complete"]
    assert len(complete) == 2
    assert platform.repository.resolve("latest").id == good.id


def test_an_unchanged_platform_adds_no_bytes(platform: Platform) -> None:
    take_backup(platform.context, UNPAUSED)
    assert take_backup(platform.context, UNPAUSED).manifest.bytes_added == 0


def test_two_backups_at_once_are_refused_with_the_holders_name(platform: Platform) -> None:
    with platform.repository.lock("a test"), pytest.raises(RepositoryBusy, match="a test"):
        take_backup(platform.context, UNPAUSED)


def test_a_cancelled_backup_leaves_nothing(platform: Platform) -> None:
    def cancel(verb: str) -> None:
        if verb == "copy":
            platform.context.cancel.set()

    platform.stores["graph"].fault = cancel
    with pytest.raises(Cancelled):
        take_backup(platform.context, UNPAUSED)
    assert [entry for entry in platform.repository.backups() if entry.state == "complete"] == []


def test_stores_are_captured_side_by_side(platform: Platform) -> None:
    meeting = threading.Barrier(len(platform.stores), timeout=10)

    def meet(verb: str) -> None:
        if verb == "export":
            meeting.wait()

    for store in platform.stores.values():
        store.fault = meet
    assert take_backup(platform.context, UNPAUSED).good


def writer_of(platform: Platform) -> str:
    return platform.runtime.states["archon-search"]


def test_writers_hold_still_until_every_store_is_captured(platform: Platform) -> None:
    seen: list[str] = []
    platform.stores["graph"].fault = lambda verb: seen.append(writer_of(platform)) if verb == "export" else None
    window = take_backup(platform.context, BackupRequest()).manifest.window
    assert seen == ["paused"] and writer_of(platform) == "running"
    assert (window.consistent, window.paused, window.note) == (True, ("archon-search",), "")


@pytest.fixture
def hasty(platform: Platform) -> OperationContext:
    """The same platform, whose writers may be held for a moment only."""
    return replace(platform.context, settings=platform.settings.model_copy(update={"pause_limit": 0.3}))


def late_for(platform: Platform) -> Callable[[str], None]:
    """A fault: the store cannot be captured before the writers go on."""

    def be_late(verb: str) -> None:
        if verb == "export":
            eventually(lambda: writer_of(platform) == "running")

    return be_late


def test_a_store_captured_after_the_writers_had_to_go_on_makes_a_late_backup_that_says_so(
    platform: Platform, hasty: OperationContext
) -> None:
    platform.stores["graph"].fault = late_for(platform)
    result = take_backup(hasty, BackupRequest())
    window, text = result.manifest.window, page(result.manifest, result.checks)
    assert not window.consistent
    assert window.note == "the writers were let go after 0.3 s, before this was captured: graph"
    assert f"not one consistent instant (writers held still: archon-search; {window.note})" in text
    assert backup_numbers(result.manifest, result.checks)["one instant"] == f"no: {window.note}"


def test_a_late_backup_may_be_latest_because_each_store_in_it_is_whole(
    platform: Platform, hasty: OperationContext
) -> None:
    take_backup(platform.context, BackupRequest())
    platform.stores["graph"].fault = late_for(platform)
    late = take_backup(hasty, BackupRequest())
    assert late.good and not late.manifest.window.consistent
    assert platform.repository.resolve("latest").id == late.manifest.id


def test_a_writer_that_somebody_else_let_go_during_the_capture_is_named(platform: Platform) -> None:
    def let_go(verb: str) -> None:
        if verb == "export":
            platform.runtime.unpause("archon-search")

    platform.stores["graph"].fault = let_go
    window = take_backup(platform.context, BackupRequest()).manifest.window
    assert not window.consistent
    assert window.note == "let go before everything was captured: archon-search"


def test_no_store_named_is_an_error(platform: Platform) -> None:
    with pytest.raises(ConfigurationError):
        take_backup(platform.context, BackupRequest(stores=()))


def test_what_a_killed_run_left_paused_goes_on(platform: Platform) -> None:
    (platform.settings.home / "paused.json").write_text('["archon-search"]')
    platform.runtime.states["archon-search"] = "paused"
    assert thaw_leftovers(platform.settings, platform.runtime) == ("archon-search",)
    assert platform.runtime.states["archon-search"] == "running"
    assert not (platform.settings.home / "paused.json").exists()


# verified again later


def chunk_of(platform: Platform, result: BackupResult, store: StoreName) -> Path:
    return Path(platform.settings.repository) / chunk_key(result.manifest.of_store(store)[0].chunks[0].sha256)


def test_a_backup_that_has_rotted_is_not_latest_once_it_was_verified(platform: Platform) -> None:
    good = take_backup(platform.context, UNPAUSED).manifest
    platform.stores["graph"].put("0", "changed")
    result = take_backup(platform.context, UNPAUSED)
    chunk_of(platform, result, "graph").unlink()
    _, digests, verdicts = verify_backup(platform.context, result.manifest)
    assert digests.damaged_artifacts() == {"folder/graph": 1}
    assert {verdict.artifact: verdict.state for verdict in verdicts} == {
        f"folder/{name}": "verified" for name in ("vectors", "relational", "configuration")
    }
    assert platform.repository.resolve("latest").id == good.id


def test_what_an_engine_cannot_read_is_recorded_although_the_digests_are_right(platform: Platform) -> None:
    result = take_backup(platform.context, UNPAUSED)
    platform.context.stores["graph"].verify = _damaged  # type: ignore[method-assign]
    verify_backup(platform.context, result.manifest)
    assert _failed(platform, result) == ["readable"]


def test_a_machine_without_the_engines_does_not_clear_a_failure(platform: Platform) -> None:
    result = take_backup(platform.context, UNPAUSED)
    verify = platform.context.stores["graph"].verify
    platform.context.stores["graph"].verify = _damaged  # type: ignore[method-assign]
    verify_backup(platform.context, result.manifest)
    platform.context.stores["graph"].verify = _unreadable_here  # type: ignore[method-assign]
    verify_backup(platform.context, result.manifest)
    assert _failed(platform, result) == ["readable"]
    platform.context.stores["graph"].verify = verify  # type: ignore[method-assign]
    verify_backup(platform.context, result.manifest)
    assert _failed(platform, result) == []


def _damaged(source: Source, work: Work) -> list[Verdict]:
    return [Verdict("folder/graph", "damaged", "line 3 is no node")]


def _unreadable_here(source: Source, work: Work) -> list[Verdict]:
    return [Verdict("folder/graph", "not verifiable here", "no engine")]


def _failed(platform: Platform, result: BackupResult) -> list[str]:
    return [check.name for check in failed_checks(platform.repository.checks(result.manifest.id))]


def test_a_failed_check_is_an_error_that_names_the_backup_and_the_reason(platform: Platform) -> None:
    take_backup(platform.context, UNPAUSED)
    for record in platform.stores["vectors"].folder.iterdir():
        record.unlink()
    result = take_backup(platform.context, UNPAUSED)
    with pytest.raises(DamagedBackup, match=rf"{result.manifest.id} was taken and kept, but failed") as caught:
        raise_for_failed(result.manifest.id, result.checks)
    assert "vectors records: 0 now, 10 in" in str(caught.value)
    assert "--accept-counts" in str(caught.value)
