"""When the disk report warns, fails, or foretells, and that a run says so."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from archon_dagster.maintenance import report
from archon_dagster.maintenance.catalogue import STEPS
from archon_dagster.maintenance.disk import days_until_full, in_words
from archon_dagster.maintenance.journal import Journal
from archon_dagster.maintenance.step import MaintenanceContext
from archon_dagster.maintenance.weekly import choose, run
from archon_dagster.platform.disks import Sample, look
from archon_dagster.platform.whole_files import replace
from archon_dagster_tests.unit.platform_double import Platform

DAY = 86_400.0


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return Platform(tmp_path)


@pytest.mark.parametrize(
    ("used", "days", "line"),
    [
        (799, None, "/: 80% of 1,000 bytes used"),
        (800, None, "/: 80% of 1,000 bytes used (warning)"),
        (100, 14.5, "/: 10% of 1,000 bytes used, full in 14 days"),
        (100, 14.0, "/: 10% of 1,000 bytes used, full in 14 days (warning)"),
        (100, 0.0, "/: 10% of 1,000 bytes used, full in 0 days (warning)"),
    ],
)
def test_it_warns_from_a_share_and_from_a_number_of_days_on(
    platform: Platform, used: int, days: float | None, line: str
) -> None:
    assert in_words(Sample(disk="/", at=0.0, used=used, total=1000), days, platform.settings) == line


def since(*used_then: tuple[float, int]) -> list[Sample]:
    """Looks so many days before the day 400."""
    return [Sample(disk="/", at=(400 - days) * DAY, used=used, total=1000) for days, used in used_then]


@pytest.mark.parametrize(
    ("history", "used", "days"),
    [
        ([], 500, None),
        (since((0.5, 400)), 500, None),
        (since((7, 600)), 500, None),
        (since((10, 400)), 500, 50.0),
        # a flat year, and a disk that has grown by 40 a week for four weeks
        (since(*((7.0 * week, 440) for week in range(5, 52)), (28, 440), (21, 480), (14, 520), (7, 560)), 600, 87.5),
        # cleared last week: the long trend is what is left
        (since((300, 100), (14, 700)), 400, 600.0),
    ],
    ids=["nothing known", "less than a day", "shrunk", "grows", "grows lately", "grew before it was cleared"],
)
def test_the_trend_that_fills_the_disk_sooner_counts(history: list[Sample], used: int, days: float | None) -> None:
    found = days_until_full(history, Sample(disk="/", at=400 * DAY, used=used, total=1000))
    assert found == (None if days is None else pytest.approx(days))


def maintained(platform: Platform, **settings: float) -> Journal:
    """A run of the one step, with the real disk of this machine."""
    quiet = {"maintenance_disk_warn": 1.0, "maintenance_disk_critical": 1.0}
    changed = platform.settings.model_copy(update=quiet | settings)
    object.__setattr__(platform.context, "settings", changed)
    return run(MaintenanceContext(platform.context), choose(STEPS, ["disk"]))


def grown(platform: Platform, days_left: float) -> None:
    """A look ten days ago, since when so much was written that the disk will be full in so many days."""
    looked = look(platform.settings, time.time)
    before = [
        one.model_copy(
            update={"at": one.at - 10 * DAY, "used": one.used - int((one.total - one.used) * 10 / days_left)}
        )
        for one in looked
    ]
    text = "[" + ",".join(one.model_dump_json() for one in before) + "]"
    replace(platform.settings.home / "maintenance" / "disks.json", text.encode())


def test_a_disk_with_room_is_no_news(platform: Platform) -> None:
    journal = maintained(platform)
    assert report.headline(journal) == "the maintenance is done"
    assert "(warning)" not in report.page(journal)


def test_a_rather_full_disk_is_a_warning_of_the_run(platform: Platform) -> None:
    journal = maintained(platform, maintenance_disk_warn=1e-9)
    assert journal.results["disk"].state == "done"
    assert report.headline(journal) == "the maintenance is done, with a warning: disk"
    assert "bytes used (warning)" in report.page(journal)


@pytest.mark.parametrize(("bound", "warned"), [(60.0, True), (30.0, False)])
def test_a_disk_that_will_be_full_soon_is_a_warning_of_the_run(platform: Platform, bound: float, warned: bool) -> None:
    grown(platform, days_left=45.0)
    journal = maintained(platform, maintenance_disk_days=bound)
    assert "full in 4" in journal.results["disk"].detail
    assert journal.results["disk"].warning is warned
    assert ("with a warning: disk" in report.headline(journal)) is warned


def test_a_nearly_full_disk_fails_the_run_and_names_what_to_free(platform: Platform) -> None:
    journal = maintained(platform, maintenance_disk_critical=1e-9)
    assert journal.results["disk"].state == "failed"
    assert report.headline(journal) == "the maintenance ended with failures: disk"
    assert "a disk is nearly full" in report.page(journal) and "docker system df" in report.page(journal)
