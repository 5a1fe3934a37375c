"""The rules of a maintenance run: backup first, nothing that could harm after a failed one, resume after a kill."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from archon_dagster.errors import ArchonError, Cancelled, ConfigurationError, RepositoryBusy
from archon_dagster.health import windows
from archon_dagster.maintenance import journal as journals
from archon_dagster.maintenance import report
from archon_dagster.maintenance.catalogue import STEPS
from archon_dagster.maintenance.journal import OLDEST
from archon_dagster.maintenance.step import Done, MaintenanceContext, MaintenanceStep
from archon_dagster.maintenance.weekly import choose, raise_for_failure, run
from archon_dagster_tests.unit.platform_double import Platform, failing


class Diary:
    """Steps of the catalogue's names and flags that only note that they were done."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.fail: set[str] = set()
        self.during: dict[str, Callable[[], None]] = {}

    def steps(self) -> tuple[MaintenanceStep, ...]:
        return tuple(dataclasses.replace(step, work=self._work(step.name)) for step in STEPS if step.default)

    def _work(self, name: str) -> Callable[[MaintenanceContext], Done]:
        def work(_: MaintenanceContext) -> Done:
            self.done.append(name)
            self.during.get(name, lambda: None)()
            if name in self.fail:
                raise ArchonError(f"{name} is injected to fail")
            return Done("noted")

        return work


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return Platform(tmp_path)


@pytest.fixture
def diary() -> Diary:
    return Diary()


NAMES = tuple(step.name for step in STEPS if step.default)
HARMING = {step.name for step in STEPS if step.harms}


def test_the_backup_comes_first_and_packages_are_never_a_surprise(platform: Platform, diary: Diary) -> None:
    journal = run(MaintenanceContext(platform.context), diary.steps())
    assert tuple(diary.done) == NAMES
    assert NAMES[0] == "backup"
    assert "packages" not in NAMES
    assert {one.state for one in journal.results.values()} == {"done"}


def test_a_failed_step_stops_no_other(platform: Platform, diary: Diary) -> None:
    diary.fail = {"optimise"}
    journal = run(MaintenanceContext(platform.context), diary.steps())
    assert tuple(diary.done) == NAMES
    with pytest.raises(ArchonError, match=r"optimise failed[\s\S]*--steps optimise"):
        raise_for_failure(journal)


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(failing_steps=st.sets(st.sampled_from(NAMES)))
def test_whatever_fails_nothing_harms_after_a_failed_backup(platform: Platform, failing_steps: set[str]) -> None:
    diary = Diary()
    diary.fail = failing_steps
    journal = run(MaintenanceContext(platform.context), diary.steps())
    if "backup" in failing_steps:
        assert not set(diary.done) & HARMING
        assert {journal.results[name].state for name in HARMING & set(NAMES)} == {"skipped"}
    protecting = {step.name for step in STEPS if step.protects and step.default}
    assert protecting <= set(diary.done)
    assert diary.done == [name for name in NAMES if name in diary.done]
    assert windows.ad_hoc(platform.settings.home, 0.0) == []


def test_the_real_backup_that_fails_stops_what_could_harm(platform: Platform, diary: Diary) -> None:
    platform.stores["graph"].fault = failing("describe")
    real = {step.name: step for step in STEPS}["backup"]
    journal = run(MaintenanceContext(platform.context), (real, *diary.steps()[1:]))
    assert journal.results["backup"].state == "failed"
    assert not set(diary.done) & HARMING


def test_a_killed_run_is_gone_on_with_after_its_finished_steps(platform: Platform, diary: Diary) -> None:
    class Killed(BaseException):
        pass

    def kill() -> None:
        raise Killed

    diary.during["vacuum"] = kill
    with pytest.raises(Killed):
        run(MaintenanceContext(platform.context), diary.steps())
    diary.during.clear()
    diary.done.clear()
    run(MaintenanceContext(platform.context), diary.steps())
    assert diary.done == list(NAMES[NAMES.index("vacuum") :])
    diary.done.clear()
    run(MaintenanceContext(platform.context), diary.steps())  # that one ended: the next is a run of its own
    assert tuple(diary.done) == NAMES


def test_a_failed_step_of_a_killed_run_is_done_again(platform: Platform, diary: Diary) -> None:
    diary.fail, diary.during = {"backup"}, {"disk": platform.context.cancel.set}
    with pytest.raises(Cancelled):
        run(MaintenanceContext(platform.context), diary.steps())
    platform.context.cancel.clear()
    diary.fail, diary.during, diary.done = set(), {}, []
    run(MaintenanceContext(platform.context), diary.steps())
    assert diary.done == [name for name in NAMES if name != "disk"]


def test_a_run_older_than_a_day_starts_anew(platform: Platform, diary: Diary) -> None:
    diary.during["vacuum"] = platform.context.cancel.set
    with pytest.raises(Cancelled):
        run(MaintenanceContext(platform.context), diary.steps(), clock=lambda: 1000.0)
    platform.context.cancel.clear()
    diary.during, diary.done = {}, []
    run(MaintenanceContext(platform.context), diary.steps(), clock=lambda: 1000.0 + OLDEST)
    assert tuple(diary.done) == NAMES


def test_a_window_is_open_while_it_works_and_ended_also_after_a_cancel(platform: Platform, diary: Diary) -> None:
    home, seen = platform.settings.home, list[str]()

    def look() -> None:
        seen.extend(one.why for one in windows.ad_hoc(home, 0.0))
        platform.context.cancel.set()

    diary.during["backup"] = look
    with pytest.raises(Cancelled):
        run(MaintenanceContext(platform.context), diary.steps())
    assert seen == ["weekly maintenance"]
    assert windows.ad_hoc(home, 0.0) == []


def test_what_changes_something_holds_the_platform_lock(platform: Platform, diary: Diary) -> None:
    held: list[str] = []

    def look() -> None:
        holder = platform.repository.holder()
        held.append(holder.purpose if holder else "")

    diary.during = {"vacuum": look, "disk": look}
    run(MaintenanceContext(platform.context), diary.steps())
    assert held == ["maintenance: vacuum", ""]


def test_two_runs_at_once_are_refused(platform: Platform, diary: Diary) -> None:
    refused: list[str] = []

    def again() -> None:
        with pytest.raises(RepositoryBusy) as error:
            run(MaintenanceContext(platform.context), Diary().steps())
        refused.append(error.value.what)

    diary.during["disk"] = again
    run(MaintenanceContext(platform.context), diary.steps())
    assert refused == ["another maintenance run is at work"]


def test_an_unknown_step_is_refused_and_a_selection_keeps_the_order() -> None:
    with pytest.raises(ConfigurationError, match="no such step: defrag"):
        choose(STEPS, ["defrag"])
    assert [step.name for step in choose(STEPS, ["disk", "backup"])] == ["backup", "disk"]


def test_the_report_names_every_step_and_is_kept(platform: Platform, diary: Diary) -> None:
    diary.fail = {"backup"}
    journal = run(MaintenanceContext(platform.context), diary.steps())
    text = report.keep(platform.settings.home, journal).read_text()
    assert all(name in text for name in NAMES)
    assert "could harm" in text
    assert journals.load(platform.settings.home) == journal
