"""Where a restore goes: what a target's files say decides, and nothing of ours gets in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from archon_dagster.errors import ConfigurationError, RepositoryBusy
from archon_dagster.platform.settings import load_settings, settings_of
from archon_dagster.repository.repository import Repository
from archon_dagster.restore.journal import JournalFile
from archon_dagster.restore.target import missing_at, open_place, stores_at
from archon_dagster_tests.unit.platform_double import Platform

THERE = "QDRANT_URL=http://127.0.0.1:16333\nMEMGRAPH_URI=bolt://127.0.0.1:17687\n"


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return Platform(tmp_path / "ours")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of another platform: the runtime in one file, its servers in the other."""
    home = tmp_path / "theirs"
    (home / "platform").mkdir(parents=True)
    (home / ".env").write_text("ARCHON_RUNTIME=processes\n")
    (home / "platform" / ".env").write_text(f"{THERE}POSTGRES_PORT=15432\nPOSTGRES_PASSWORD=theirs\n")
    return home


def test_the_environment_of_this_process_has_no_say_in_another_platform(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHON_HOME", "/ours")
    monkeypatch.setenv("ARCHON_PROJECT_DIR", "/ours/project")
    monkeypatch.setenv("QDRANT_URL", "http://ours:6333")
    monkeypatch.setenv("POSTGRES_PASSWORD", "ours")
    found = settings_of(home)
    assert (found.home, found.runtime, found.qdrant_url) == (home, "processes", "http://127.0.0.1:16333")
    assert found.postgres_password is not None
    assert found.postgres_password.get_secret_value() == "theirs"
    assert load_settings().qdrant_url == "http://ours:6333"


def test_a_home_gives_the_stores_and_keeps_the_repository_ours(platform: Platform, home: Path) -> None:
    place = open_place(platform.context, str(home))
    assert place.target == str(home)
    assert place.context.settings.home == home
    assert place.context.settings.repository == platform.settings.repository
    assert place.context.repository is platform.repository
    assert place.context.stores["vectors"].address == "http://127.0.0.1:16333"  # type: ignore[attr-defined]
    assert place.stores == ("vectors", "graph", "relational")


def test_its_own_control_plane_is_kept_out(platform: Platform, home: Path) -> None:
    place = open_place(platform.context, str(home))
    assert not (home / "repository").exists()  # a plan must leave no trace
    own = Repository.open(str(home / "repository"), create=True)
    with place.lock("restore of x"), pytest.raises(RepositoryBusy), own.lock("backup"):
        pass
    with own.lock("backup"), pytest.raises(RepositoryBusy), place.lock("restore of x"):
        pass


def test_no_repository_is_made_where_the_target_says_there_is_one(platform: Platform, tmp_path: Path) -> None:
    file = tmp_path / "there.env"
    file.write_text(f"{THERE}ARCHON_REPOSITORY={tmp_path / 'unmounted' / 'repository'}\n")
    place = open_place(platform.context, str(file))
    with place.lock("restore of x"):
        assert not (tmp_path / "unmounted").exists()
    assert any("no repository at" in note for note in place.notes)


def test_a_file_gives_what_it_names_and_nothing_by_default(platform: Platform, tmp_path: Path) -> None:
    file = tmp_path / "there.env"
    file.write_text(THERE)
    place = open_place(platform.context, str(file))
    assert place.stores == ("vectors", "graph")
    assert place.context.runtime.kind == "elsewhere"
    assert place.context.settings.home.parent == platform.settings.home / "targets"
    names = ("vectors", "graph", "relational", "configuration")
    assert stores_at(place, names, ()) == ("vectors", "graph")
    left_out = missing_at(place, names)
    assert [line.split(" ")[0] for line in left_out] == ["relational", "configuration"]
    with pytest.raises(ConfigurationError, match="POSTGRES_DSN"):
        stores_at(place, ("relational",), ("relational",))


def test_this_platform_is_recognised_by_its_home_and_by_its_servers(platform: Platform, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(platform.settings.home)
    file = tmp_path / "same.env"
    file.write_text("QDRANT_URL=http://localhost:6333/\nMEMGRAPH_URI=bolt://127.1\n")
    for target in (link, file):
        place = open_place(platform.context, str(target))
        assert (place.context, place.target) == (platform.context, "")
        assert "ordinary restore" in place.notes[0]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("QDRANT_URL=http://127.0.0.1:6333\nMEMGRAPH_URI=bolt://elsewhere:7687\n", "vectors of this very platform"),
        ("POSTGRES_DSN=postgresql://u:secret@localhost/postgres\nQDRANT_URL=http://q:1\n", "relational of this very"),
    ],
)
def test_a_server_of_ours_among_theirs_is_refused(platform: Platform, tmp_path: Path, content: str, what: str) -> None:
    file = tmp_path / "mixed.env"
    file.write_text(content)
    with pytest.raises(ConfigurationError, match=what) as caught:
        open_place(platform.context, str(file))
    assert "secret" not in str(caught.value)


def test_what_is_no_target_is_refused(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for target in ("relative/home", str(tmp_path / "empty"), str(tmp_path / "missing")):
        with pytest.raises(ConfigurationError):
            open_place(platform.context, target)


def test_the_advice_of_an_interrupted_restore_leads_back_to_where_it_came_from(platform: Platform) -> None:
    file = JournalFile(platform.settings)
    options = ("--target", "/their home")
    journal = file.begin("20260101T000000Z-0001", "start the stores", ("graph",), options, "/ours")
    file.update(journal, safety="20260101T000000Z-0002", touched=("graph",))
    read = file.read()
    assert read is not None
    assert read.advice == (
        "finish it: ARCHON_HOME=/ours archon restore 20260101T000000Z-0001 --confirm RESTORE --only graph "
        "--target '/their home'; or go back: ARCHON_HOME=/ours archon restore 20260101T000000Z-0002 --confirm RESTORE "
        "--target '/their home'"
    )


def test_a_restore_of_something_else_waits_until_an_interrupted_one_is_mended(platform: Platform) -> None:
    file = JournalFile(platform.settings)
    part = ("--collection", "one")
    file.update(file.begin("a", "restore vectors", (), part), safety="s", touched=("vectors",))
    with pytest.raises(ConfigurationError, match="comes first"):
        file.begin("b", "start the stores")
    assert file.begin("b", "start the stores", (), part).safety == "s"


def test_a_note_of_an_earlier_version_is_still_read(platform: Platform) -> None:
    file = JournalFile(platform.settings)
    file.path.write_text(json.dumps({"backup": "a", "step": "restore graph", "started": "x", "touched": ["graph"]}))
    read = file.read()
    assert read is not None
    assert read == replace(read, options=(), by="")
