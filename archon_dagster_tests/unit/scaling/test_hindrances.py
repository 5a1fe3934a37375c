"""The automation leaves a platform alone that somebody works on, or that is broken; and says who and why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from archon_dagster.health.windows import open_window
from archon_dagster.platform import automation
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.recovery.book import Book
from archon_dagster.recovery.incident import open_incident
from archon_dagster.repository.repository import Repository
from archon_dagster.scaling.hindrances import hindrances

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(ARCHON_HOME=tmp_path)


def found(settings: Settings, later: float = 0) -> list[str]:
    return hindrances("archon-search", settings, NOW + timedelta(seconds=later))


def test_nothing_is_in_the_way_of_a_platform_in_peace(settings: Settings) -> None:
    assert found(settings) == []


def test_a_pause_counts_until_it_expires(settings: Settings) -> None:
    automation.pause(settings.home, timedelta(minutes=5), "disk is replaced", NOW, "ann")
    assert "by ann: disk is replaced" in found(settings)[0]
    assert found(settings, 301) == []


def test_a_maintenance_window_counts_for_the_services_it_names(settings: Settings) -> None:
    open_window(settings.home, 60, "reindexing", NOW.timestamp(), ["qdrant"], "ann")
    assert found(settings) == []
    open_window(settings.home, 60, "reindexing", NOW.timestamp(), ["archon-search"], "ann")
    assert "reindexing" in found(settings)[0]


def test_an_open_incident_of_anybody_counts_until_it_is_over(settings: Settings) -> None:
    book = Book(settings.home)
    incident = book.add(open_incident("single_service", ("qdrant",), ("qdrant",), NOW))
    assert incident.id in found(settings)[0]
    book.change(incident.id, lambda one: one.note(NOW, "recovered", "well"))
    assert found(settings) == []


def test_whoever_holds_the_lock_of_the_platform_goes_first(settings: Settings) -> None:
    with Repository.open(settings.repository, create=True).lock("manual backup"):
        assert found(settings) == ["manual backup is at work"]
    assert found(settings) == []


def test_all_of_them_are_told_at_once(settings: Settings) -> None:
    automation.pause(settings.home, timedelta(minutes=5), "x", NOW, "ann")
    Book(settings.home).add(open_incident("single_service", ("qdrant",), ("qdrant",), NOW))
    assert len(found(settings)) == 2
