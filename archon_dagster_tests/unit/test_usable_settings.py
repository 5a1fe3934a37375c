"""What somebody has spoilt in the platform's file is left out, and nothing else; the code location loads with it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform import usable_settings as usable_module
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.platform.usable_settings import FIXED_WHILE_LOADING, settings_while_loading, usable_settings

GOOD = b"SEARCH_SERVICE_PORT=8155\nARCHON_RETENTION_CRON='30 5 * * *'\n"

_KEEP = ("LAST", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY", "WITHIN_DAYS")
NOTHING_KEPT = "\n".join(f"ARCHON_RETENTION_KEEP_{rule}=0" for rule in _KEEP).encode()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARCHON_HOME", str(tmp_path))
    (tmp_path / "platform").mkdir()
    return tmp_path / "platform" / ".env"


@pytest.mark.parametrize(
    "line",
    [b"POSTGRES_PORT=abc", b"ARCHON_HEALTH_WATCHED=[", b"POSTGRES_USER=\xff", NOTHING_KEPT],
    ids=["no number", "no JSON", "no text", "not together"],
)
def test_a_spoilt_value_is_left_out_and_the_others_count(file: Path, line: bytes) -> None:
    file.write_bytes(line + b"\n" + GOOD)
    with pytest.raises(ConfigurationError, match="archon config undo"):
        load_settings()
    found = usable_settings()
    assert (found.search_port, found.retention_cron) == (8155, "30 5 * * *")
    file.write_bytes(GOOD)
    assert found.postgres_port == load_settings().postgres_port
    assert found.health_watched == load_settings().health_watched


def test_a_good_file_is_taken_as_it_is(file: Path) -> None:
    file.write_bytes(GOOD)
    assert usable_settings() == load_settings()


def test_what_is_wrong_elsewhere_is_not_left_out(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_bytes(b"ARCHON_TIMEZONE=Nowhere\n")
    with pytest.raises(ConfigurationError, match="Nowhere"):
        usable_settings()
    (tmp_path / ".env").write_bytes(b"ARCHON_TIMEZONE=\xff\n")
    with pytest.raises(ConfigurationError, match="UTF-8"):
        usable_settings()
    monkeypatch.setenv("POSTGRES_PORT", "abc")
    assert settings_while_loading().postgres_port == 5432  # Dagster loads all the same


def test_what_the_code_location_is_made_of_is_known_by_name() -> None:
    """Of these a change has to say that it has no effect yet."""
    sources = Path(usable_module.__file__).parents[1].rglob("*.py")
    fields = {name for file in sources for name in re.findall(r"settings_while_loading\(\)\.(\w+)", file.read_text())}
    assert {Settings.model_fields[name].alias for name in fields} == set(FIXED_WHILE_LOADING)


def test_the_code_location_loads_with_a_spoilt_file(file: Path) -> None:
    """In a process of its own: the schedules are made when they are imported."""
    file.write_bytes(b"POSTGRES_PORT=abc\n" + GOOD)
    script = (
        "from archon_dagster.definitions import defs\n"
        "print(len(list(defs.get_repository_def().get_all_jobs())))\n"
        "print(defs.resolve_schedule_def('retention').cron_schedule)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ}, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    jobs, cron = done.stdout.splitlines()
    assert int(jobs) > 10
    assert cron == "30 5 * * *"
