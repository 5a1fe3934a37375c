"""When the disk report warns, fails, or foretells, and that a run says so."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from archon_dagster.maintenance import report
from archon_dagster.maintenance.catalogue import STEPS
from archon_dagster.maintenance.disk import in_words
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
