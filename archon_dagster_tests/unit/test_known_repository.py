"""A repository whose disk is not mounted is told, and no other is made beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from archon_dagster.context import open_context
from archon_dagster.errors import RepositoryMissing
from archon_dagster.known_repository import NOTE, open_repository
from archon_dagster.platform.settings import Settings, load_settings


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    return tmp_path / "mnt" / "backups"


@pytest.fixture
def settings(mount: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("ARCHON_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ARCHON_REPOSITORY", str(mount))
    monkeypatch.setenv("ARCHON_RUNTIME", "elsewhere")
    return load_settings()


@pytest.mark.parametrize("left", ["an empty mount point", "nothing"])
def test_a_repository_that_was_there_is_not_made_again(settings: Settings, mount: Path, left: str) -> None:
    first = open_context(settings).repository
    shutil.rmtree(mount)
    if left == "an empty mount point":
        mount.mkdir()
    for _ in range(2):
        with pytest.raises(RepositoryMissing, match="the backup repository is gone") as told:
            open_context(settings)
    assert first.config.id in str(told.value) and str(settings.home / NOTE) in str(told.value)
    assert not mount.exists() or list(mount.iterdir()) == []


def test_it_is_found_again_when_its_disk_is_mounted(settings: Settings, mount: Path) -> None:
    first = open_context(settings).repository
    away = mount.with_name("away")
    mount.rename(away)
    with pytest.raises(RepositoryMissing):
        open_context(settings)
    away.rename(mount)
    assert open_context(settings).repository.config.id == first.config.id


def test_what_the_message_says_begins_a_new_one(settings: Settings, mount: Path) -> None:
    first = open_context(settings).repository
    shutil.rmtree(mount)
    (settings.home / NOTE).unlink()
    assert open_context(settings).repository.config.id != first.config.id


def test_another_address_is_another_repository(settings: Settings, mount: Path) -> None:
    open_context(settings)
    elsewhere = settings.model_copy(update={"repository_setting": str(mount.with_name("new"))})
    assert open_context(elsewhere).repository.describe().endswith("new")


def test_whoever_only_reads_neither_makes_nor_remembers(settings: Settings, mount: Path) -> None:
    with pytest.raises(RepositoryMissing, match="there is no backup repository here"):
        open_repository(settings, create=False)
    assert not mount.exists() and not (settings.home / NOTE).exists()
