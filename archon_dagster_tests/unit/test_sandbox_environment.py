"""What the sandbox's ``.env`` tells the control plane about the platform."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from archon_dagster.platform.settings import Settings, settings_of
from archon_dagster.sandbox import environment as env
from archon_dagster.sandbox.layout import Layout, layout_of, prepare


def written(home: Path, real: Mapping[str, str] | None = None, **changed: str) -> tuple[Layout, Settings]:
    """The settings of a new sandbox with such real servers, after its ``.env`` was written."""
    layout = layout_of(home)
    prepare(layout)
    env.write(layout, env.plan(env.read(layout) | changed, ("qdrant", "memgraph", "postgres"), (), real or {}))
    return layout, settings_of(layout.home)


def test_the_whole_ladder_of_the_recovery_is_on_and_knows_where_the_files_are(tmp_path: Path) -> None:
    layout, settings = written(tmp_path)
    assert settings.recovery == "restore"
    assert settings.qdrant_storage == layout.data("vectors") / "embedded" / "storage"
    assert settings.memgraph_data == layout.data("graph") / "embedded"


def test_a_real_server_keeps_its_files_elsewhere(tmp_path: Path) -> None:
    real = {env.REAL_QDRANT: "/opt/qdrant", env.REAL_MEMGRAPH: "/opt/memgraph"}
    layout, settings = written(tmp_path, real)
    assert settings.qdrant_storage == layout.data("vectors") / "server" / "storage"
    assert settings.memgraph_data == layout.data("graph") / "server"
    _, back = written(tmp_path)
    assert back.qdrant_storage == layout.data("vectors") / "embedded" / "storage"


def test_what_an_operator_has_chosen_is_kept_and_where_the_files_are_is_not_theirs_to_choose(tmp_path: Path) -> None:
    layout, settings = written(tmp_path, ARCHON_RECOVERY="off", ARCHON_QDRANT_STORAGE="/elsewhere")
    assert settings.recovery == "off"
    assert settings.qdrant_storage == layout.data("vectors") / "embedded" / "storage"


def test_the_stand_in_of_supabase_suffers_from_its_database(tmp_path: Path) -> None:
    layout, settings = written(tmp_path)
    assert settings.health_depends == {"supabase": ("postgres",)}
    assert env.settings_of(layout, env.read(layout)).health_depends == {"supabase": ("postgres",)}
