from __future__ import annotations

from pathlib import Path

import pytest

from archon_dagster.health.at_work import excuse, is_held, purpose
from archon_dagster.platform.settings import load_settings
from archon_dagster.repository.repository import Repository
from archon_dagster_tests.unit.health.samples import sample


def excused(kind: str, service: str, work: str) -> tuple[str, bool]:
    found = excuse({service: sample(kind, service=service)}, work)[service]
    return found.verdict, bool(found.maintenance)


@pytest.mark.parametrize(
    ("service", "work", "verdict", "maintenance"),
    [
        ("archon-search", "", "unhealthy", False),
        ("archon-search", "manual backup", "unknown", False),
        ("qdrant", "manual backup", "unhealthy", False),  # no writer: nobody holds it still
        ("qdrant", "restore of 20261120T030000Z-7f3a", "unhealthy", True),
        ("ollama", "restore of 20261120T030000Z-7f3a", "unhealthy", False),  # nobody here stops it
        ("archon-search", "cold start", "unhealthy", True),
        ("archon-search", "import of x", "unhealthy", False),
    ],
)
def test_what_the_work_at_hand_explains_is_taken_out(service: str, work: str, verdict: str, maintenance: bool) -> None:
    assert excused("dead", service, work) == (verdict, maintenance)


def test_a_writer_that_is_well_during_a_backup_is_well() -> None:
    assert excused("good", "archon-search", "manual backup") == ("healthy", False)


def test_the_holder_of_the_lock_says_what_it_does(tmp_path: Path) -> None:
    settings = load_settings(ARCHON_HOME=tmp_path)
    assert purpose(settings) == ""
    repository = Repository.open(settings.repository, create=True)
    assert (purpose(settings), is_held(settings)) == ("", False)
    with repository.lock("restore of x"):
        assert (purpose(settings), is_held(settings)) == ("restore of x", True)
    assert (purpose(settings), is_held(settings)) == ("", False)


def test_a_repository_that_cannot_be_read_explains_nothing(tmp_path: Path) -> None:
    settings = load_settings(ARCHON_HOME=tmp_path, ARCHON_REPOSITORY=str(tmp_path / "none"))
    assert (purpose(settings), is_held(settings)) == ("", None)
