"""Whether the server has room for its snapshots: known only where its own directory of them can be seen."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from archon_dagster.platform.settings import load_settings
from archon_dagster.stores.vectors.store import open_vectors


def room(storage: Path | None) -> int | None:
    store = open_vectors(load_settings(ARCHON_QDRANT_STORAGE=storage))
    assert store._export.free_space is store._restore.free_space
    return store._export.free_space()


def test_it_is_that_of_the_volume_on_which_the_snapshots_are_made(tmp_path: Path) -> None:
    (tmp_path / "snapshots").mkdir()
    assert room(tmp_path / "storage") == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)


def test_it_is_unknown_where_only_the_storage_or_nothing_can_be_seen(tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir()
    assert room(tmp_path / "storage") is None
    assert room(None) is None
