from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.runtime.process_spec import ProcessSpec, read_spec, write_private, write_spec


def test_a_specification_survives_its_file(tmp_path: Path) -> None:
    spec = ProcessSpec(command=["a", "b c"], cwd=tmp_path, env={"K": "v"}, path=[tmp_path], user=(1, 2), version="a 1")
    write_spec(tmp_path / "qdrant", spec)
    assert read_spec(tmp_path / "qdrant") == spec


def test_only_the_owner_can_read_a_specification(tmp_path: Path) -> None:
    write_spec(tmp_path, ProcessSpec(command=["a"], cwd=tmp_path))
    assert stat.S_IMODE((tmp_path / "spec.json").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"command": [], "cwd": "/"}', "command"),
        ('{"command": ["a"]}', "cwd"),
        ('{"command": ["a"], "cwd": "/", "surprise": 1}', "surprise"),
        ("not json", "JSON"),
    ],
)
def test_an_unusable_specification_is_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "spec.json").write_text(text)
    with pytest.raises(ConfigurationError, match=named) as refused:
        read_spec(tmp_path)
    assert str(tmp_path / "spec.json") in str(refused.value)


def test_a_missing_specification_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"spec\.json"):
        read_spec(tmp_path)


def test_the_services_own_variables_win_over_its_files(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=file\nB=file\n")
    spec = ProcessSpec(command=["a"], cwd=tmp_path, env={"A": "own"}, env_files=[tmp_path / ".env"]).resolved()
    assert spec.env == {"A": "own", "B": "file"}
    (tmp_path / ".env").write_text("B=changed\n")
    assert spec.environment()["B"] == "file"


def test_a_missing_environment_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"gone\.env"):
        ProcessSpec(command=["a"], cwd=tmp_path, env_files=[tmp_path / "gone.env"]).resolved()


def test_the_callers_server_settings_do_not_leak_into_a_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOST", "production.example")
    monkeypatch.setenv("QDRANT__SERVICE__HTTP_PORT", "1")
    monkeypatch.setenv("SOMETHING", "else")
    environment = ProcessSpec(command=["a"], cwd=tmp_path).environment()
    assert "PGHOST" not in environment
    assert "QDRANT__SERVICE__HTTP_PORT" not in environment
    assert environment["SOMETHING"] == "else"


def test_the_services_programs_come_first_on_the_path(tmp_path: Path) -> None:
    environment = ProcessSpec(command=["a"], cwd=tmp_path, path=[tmp_path / "bin"]).environment()
    assert environment["PATH"].startswith(f"{tmp_path / 'bin'}:")


def test_a_private_file_can_be_replaced_by_several_at_once(tmp_path: Path) -> None:
    texts = [str(number) * 1000 for number in range(10)]
    with ThreadPoolExecutor(max_workers=10) as pool:
        list(pool.map(lambda text: [write_private(tmp_path / "file", text) for _ in range(50)], texts))
    assert (tmp_path / "file").read_text() in texts
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
