"""One drill at a time in a home, and what killed ones have left is found and removed; nothing else is."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from archon_dagster.errors import ConfigurationError, RepositoryBusy
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.restore_drill.bench import alone, bench, is_free, left, root
from archon_dagster.restore_drill.schedules import remove_drill_leftovers, restore_drill
from archon_dagster.restore_drill.servers import open_servers


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(ARCHON_HOME=tmp_path, ARCHON_RUNTIME="processes")


def killed(settings: Settings, name: str = "0123abcd") -> Path:
    """What a drill has left that was killed before it had started a server."""
    directory = root(settings.home) / name
    (directory / "data").mkdir(parents=True)
    (directory / "data" / "file").write_text("a copy")
    return directory


def test_a_drill_has_a_directory_of_its_own_which_goes_with_it(settings: Settings) -> None:
    with bench(settings) as own:
        (own.directory / "file").write_text("a copy")
        assert own.directory.stat().st_mode & 0o777 == 0o700
        assert left(settings.home) == [own.directory]
        assert not is_free(settings.home)
    assert left(settings.home) == []
    assert is_free(settings.home)


def test_it_goes_also_on_failure(settings: Settings) -> None:
    with pytest.raises(ZeroDivisionError), bench(settings):
        _ = 1 // 0
    assert left(settings.home) == []


def test_a_second_one_is_refused_and_disturbs_nobody(settings: Settings) -> None:
    with bench(settings) as own:
        with pytest.raises(RepositoryBusy, match="another restore drill is at work"), bench(settings):
            pass
        assert own.directory.is_dir()


def test_what_a_killed_one_has_left_is_removed_and_nothing_beside_it(settings: Settings) -> None:
    directory, other = killed(settings), root(settings.home) / "notes"
    other.mkdir()
    with bench(settings) as own:
        assert own.cleared == ("0123abcd",)
        assert not directory.exists()
    assert other.is_dir()


def test_a_home_keeps_its_name(settings: Settings, tmp_path: Path) -> None:
    with alone(settings) as (first, _):
        pass
    with alone(settings) as (second, _):
        pass
    with alone(settings.model_copy(update={"home": tmp_path / "another"})) as (third, _):
        pass
    assert first == second
    assert third != first


def test_where_no_service_is_run_it_says_what_to_do_instead(settings: Settings, tmp_path: Path) -> None:
    elsewhere = settings.model_copy(update={"runtime": "elsewhere"})
    with pytest.raises(ConfigurationError, match=r"--target FILE"):
        open_servers(elsewhere, tmp_path, "owner")


def test_the_drill_is_off_until_switched_on_and_leftovers_are_looked_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHON_HOME", str(settings.home))
    assert restore_drill.default_status == dg.DefaultScheduleStatus.STOPPED
    assert remove_drill_leftovers.default_status == dg.DefaultScheduleStatus.RUNNING

    def tick(instance: dg.DagsterInstance) -> object:
        at = datetime(2026, 11, 29, 12, 41, tzinfo=UTC)
        return remove_drill_leftovers(dg.build_schedule_context(instance, scheduled_execution_time=at))

    with dg.instance_for_test() as instance:
        assert isinstance(tick(instance), dg.SkipReason)
        killed(settings)
        assert isinstance(tick(instance), dg.RunRequest)
        with bench(settings):
            skipped = tick(instance)
            assert isinstance(skipped, dg.SkipReason)
            assert skipped.skip_message == "a drill is at work"
