"""Where settings come from: the files of the home and of the platform, and never the current directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from archon_dagster.platform.settings import default_home, load_settings


def test_the_platforms_own_file_is_read_although_no_shell_has_sourced_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHON_HOME", str(tmp_path))
    (tmp_path / "platform").mkdir()
    (tmp_path / "platform" / ".env").write_text(
        "SUPABASE_URL=https://ours.example\nOLLAMA_BASE_URL=http://ollama.example:11434\nSEARCH_SERVICE_PORT=8155\n"
    )
    (tmp_path / ".env").write_text("SEARCH_SERVICE_PORT=8255\n")
    settings = load_settings()
    assert settings.supabase_url == "https://ours.example"
    assert settings.ollama_url == "http://ollama.example:11434"
    assert settings.search_port == 8255  # what the control plane has of its own wins
    monkeypatch.setenv("SEARCH_SERVICE_PORT", "8355")
    assert load_settings().search_port == 8355


def test_nothing_depends_on_the_directory_where_it_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As cron types it: in the home of some user, where a file of the same name may lie."""
    monkeypatch.delenv("ARCHON_HOME")
    here = load_settings()
    (tmp_path / ".env").write_text("SUPABASE_URL=https://somebody-elses.example\n")
    monkeypatch.chdir(tmp_path)
    assert default_home().is_absolute()
    assert load_settings() == here
