"""A change is made as a whole or not at all, and the services that read it really get it."""

from __future__ import annotations

import dataclasses
import stat
import threading
from pathlib import Path

import pytest

from archon_dagster.configuration.apply import ApplyRequest, Change, apply, plan, undo
from archon_dagster.configuration.history import History
from archon_dagster.configuration.status import standing
from archon_dagster.configuration.watching import note_by_hand
from archon_dagster.context import Step
from archon_dagster.errors import Cancelled, ConfigurationError, ConfirmationMissing, ServiceError
from archon_dagster_tests.unit.configuration.platform import EnvPlatform
from archon_dagster_tests.unit.configuration.sample import BAD, NEW, OLD, READERS, with_


def apply_(platform: EnvPlatform, content: bytes, **context: object) -> Change:
    file = platform.home.parent / "new.env"
    file.write_bytes(content)
    return apply(platform.context(**context), ApplyRequest(file, "APPLY", offline=True))  # type: ignore[arg-type]


def test_who_reads_it_is_replaced_and_nobody_else(platform: EnvPlatform) -> None:
    before = platform.instances()
    change = apply_(platform, NEW)
    after = platform.instances()
    assert change.replaced == READERS
    assert {name for name in before if before[name] != after[name]} == set(READERS)
    assert platform.reads("BATCH_SIZE") == {"archon-bridge": "25", "archon-intelligence": "10", "archon-search": "10"}
    assert platform.env_file.read_bytes() == NEW
    assert stat.S_IMODE(platform.env_file.stat().st_mode) == 0o600
    (record,) = History(platform.home).all()
    assert (record.result, record.changed) == ("applied", ("BATCH_SIZE: '25' -> '10'",))
    assert standing(platform.settings).interrupted is None


def test_a_restart_does_not_read_it_again_and_a_replacement_does(platform: EnvPlatform) -> None:
    platform.env_file.write_bytes(NEW)
    platform.runtime.restart("archon-search")
    assert platform.reads("BATCH_SIZE")["archon-search"] == "25"
    platform.runtime.recreate("archon-search")
    assert platform.reads("BATCH_SIZE")["archon-search"] == "10"


@pytest.mark.parametrize("bad", [BAD, with_("LOG_LEVEL=CRITICAL")], ids=["it ends", "it says degraded"])
def test_what_makes_a_service_unwell_is_taken_back_byte_for_byte(platform: EnvPlatform, bad: bytes) -> None:
    odd = OLD + b"# \xc3\xa9 spaces at the end  \r\n\r\n\t"  # every byte of it counts
    platform.env_file.write_bytes(odd)
    for name in (".env.backup.20240101-000000", ".env.backup.20250101-000000", ".env.production"):
        (platform.env_file.parent / name).write_bytes(b"OLDER=1\n")  # which the runbook's rollback trips over
    with pytest.raises(ServiceError, match=r"not kept[\s\S]*the file before is back, byte for byte"):
        apply_(platform, bad)
    assert platform.env_file.read_bytes() == odd
    assert set(platform.reads("BATCH_SIZE").values()) == {"25"}
    assert set(platform.reads("LOG_LEVEL").values()) == {"INFO"}
    assert History(platform.home).all()[0].result == "returned"
    assert standing(platform.settings).interrupted is None
    apply_(platform, NEW)  # and the next change works as if nothing had been


def test_the_service_that_failed_is_named_with_its_last_words(platform: EnvPlatform) -> None:
    with pytest.raises(ServiceError, match=r"archon-search is not ready[\s\S]*thirteen is too many"):
        apply_(platform, BAD)


def test_a_file_that_is_not_usable_touches_nothing(platform: EnvPlatform) -> None:
    before = platform.instances()
    with pytest.raises(ConfigurationError, match=r"LOG_LEVEL is 'LOUD'[\s\S]*BATCH_SIZE is 'many'"):
        apply_(platform, with_("BATCH_SIZE=many", "LOG_LEVEL=LOUD"))
    assert platform.env_file.read_bytes() == OLD
    assert platform.instances() == before
    assert History(platform.home).all() == []


def test_the_shells_environment_makes_no_file_good(platform: EnvPlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDDING_MODEL", "from-the-shell:latest")
    with pytest.raises(ConfigurationError, match="EMBEDDING_MODEL is not set"):
        apply_(platform, with_(without="EMBEDDING_MODEL"))


def test_it_has_to_be_confirmed(platform: EnvPlatform) -> None:
    for word in ("", "apply", "yes"):
        with pytest.raises(ConfirmationMissing):
            apply(platform.context(), ApplyRequest(platform.env_file, word))
        with pytest.raises(ConfirmationMissing):
            undo(platform.context(), word)


def test_a_plan_says_what_would_be_done_and_does_nothing(platform: EnvPlatform) -> None:
    file, before = platform.home.parent / "new.env", platform.instances()
    file.write_bytes(NEW)
    change = plan(platform.context(), file, offline=True)
    assert (change.replaced, change.difference.lines) == (READERS, ["BATCH_SIZE: '25' -> '10'"])
    assert platform.instances() == before
    assert platform.env_file.read_bytes() == OLD
    assert change.record is None


def test_the_same_file_again_is_nothing_to_do(platform: EnvPlatform) -> None:
    before = platform.instances()
    assert "nothing to do" in apply_(platform, OLD).headline
    assert platform.instances() == before


def test_remarks_replace_no_service(platform: EnvPlatform) -> None:
    before = platform.instances()
    change = apply_(platform, b"# who, when, why\n" + OLD)
    assert change.replaced == ()
    assert platform.instances() == before
    assert platform.env_file.read_bytes().startswith(b"# who")


def test_what_counts_only_once_dagster_is_restarted_is_told(platform: EnvPlatform) -> None:
    change = apply_(platform, with_("ARCHON_TIMEZONE=Europe/Paris", "ARCHON_DRILL_CRON=0 7 * * 6", "BATCH_SIZE=10"))
    assert change.headline.endswith(
        "; restart Dagster, which goes by the old ARCHON_DRILL_CRON, ARCHON_TIMEZONE until then"
    )
    assert "restart Dagster" not in apply_(platform, with_("ARCHON_TIMEZONE=Europe/Paris",
                                                           "ARCHON_DRILL_CRON=0 7 * * 6")).headline  # fmt: skip


def test_a_service_that_does_not_run_is_not_started(platform: EnvPlatform) -> None:
    platform.runtime.stop("archon-search")
    change = apply_(platform, NEW)
    assert (change.replaced, change.waiting) == (("archon-intelligence",), ("archon-search",))
    assert "archon-search" not in platform.instances()


def test_undo_goes_back_and_undo_again_goes_forth(platform: EnvPlatform) -> None:
    apply_(platform, NEW)
    undo(platform.context(), "APPLY")
    assert platform.env_file.read_bytes() == OLD
    assert platform.reads("BATCH_SIZE")["archon-search"] == "25"
    undo(platform.context(), "APPLY")
    assert platform.env_file.read_bytes() == NEW
    assert [one.kind for one in History(platform.home).all()] == ["undo", "undo", "apply"]


def test_an_undo_that_does_not_work_out_is_taken_back_too(platform: EnvPlatform) -> None:
    platform.env_file.write_bytes(BAD)
    note_by_hand(platform.settings)  # as it is known; no service has read it
    platform.env_file.write_bytes(NEW)
    with pytest.raises(ServiceError, match=r"not kept[\s\S]*the file before is back, byte for byte"):
        undo(platform.context(), "APPLY")
    assert platform.env_file.read_bytes() == NEW
    assert platform.reads("BATCH_SIZE")["archon-search"] == "10"
    assert [(one.kind, one.result) for one in History(platform.home).all()] == [
        ("undo", "returned"),
        ("by hand", "seen"),
    ]
    assert standing(platform.settings).interrupted is None


def test_there_is_nothing_to_undo_at_first(platform: EnvPlatform) -> None:
    with pytest.raises(ConfigurationError, match="no change that could be undone"):
        undo(platform.context(), "APPLY")


def test_a_change_by_hand_is_kept_in_the_history_and_can_be_undone(platform: EnvPlatform) -> None:
    apply_(platform, NEW)
    by_hand = with_("VECTOR_SEARCH_TIMEOUT=9000", "BATCH_SIZE=10")
    platform.env_file.write_bytes(by_hand)
    assert not standing(platform.settings).known
    change = undo(platform.context(), "APPLY")
    assert platform.env_file.read_bytes() == NEW
    assert change.replaced == ("archon-search",)
    assert [one.result for one in History(platform.home).all()] == ["applied", "seen", "applied"]


def test_a_cancel_puts_everything_back(platform: EnvPlatform) -> None:
    cancel = threading.Event()

    def report(news: object) -> None:
        if isinstance(news, Step) and news.name == "archon-intelligence":
            cancel.set()

    file = platform.home.parent / "new.env"
    file.write_bytes(NEW)
    context = platform.context(report)
    with pytest.raises(Cancelled, match="byte for byte"):
        apply(dataclasses.replace(context, cancel=cancel), ApplyRequest(file, "APPLY", offline=True))
    assert platform.env_file.read_bytes() == OLD
    assert set(platform.reads("BATCH_SIZE").values()) == {"25"}


def test_a_link_is_not_replaced(platform: EnvPlatform) -> None:
    real = platform.env_file.with_name("real.env")
    platform.env_file.rename(real)
    platform.env_file.symlink_to(real)
    with pytest.raises(ConfigurationError, match="is a link"):
        apply_(platform, NEW)
    assert real.read_bytes() == OLD


def test_no_secret_stands_in_the_history_but_in_the_saved_files(platform: EnvPlatform) -> None:
    apply_(platform, with_("SERVICE_AUTH_TOKEN=hush-hush-hush-hush-hush"))
    folder = platform.home / "configuration"
    for file in folder.rglob("*"):
        assert not stat.S_IMODE(file.stat().st_mode) & 0o077, file
        if file.is_file() and file.suffix != ".env":
            assert b"hush" not in file.read_bytes()


def test_only_the_newest_changes_are_kept(tmp_path: Path) -> None:
    from archon_dagster.configuration.diff import difference

    history = History(tmp_path, kept=3)
    made = [history.begin("apply", "terminal", str(n), OLD, NEW, difference(OLD, NEW)) for n in range(5)]
    for record in made:
        history.end(record, "applied")
    assert len(history.all()) == 3
    assert len(list(history.folder.iterdir())) == 3
    assert {one.id for one in history.all()} == set(sorted((one.id for one in made), reverse=True)[:3])
