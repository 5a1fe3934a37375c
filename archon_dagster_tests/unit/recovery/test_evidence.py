"""Evidence: there before anything is touched, bounded in time and size, without secrets."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from archon_dagster.errors import Cancelled, ServiceError
from archon_dagster.platform.settings import load_settings
from archon_dagster.recovery import files
from archon_dagster.recovery.evidence import LARGEST, capture
from archon_dagster.recovery.masking import Mask
from archon_dagster.recovery.panic import panicked_over
from archon_dagster_tests.unit.platform_double import SwitchRuntime
from archon_dagster_tests.unit.recovery.picture import picture


class Talking(SwitchRuntime):
    """A runtime whose services have written something; one of them never says what."""

    def __init__(self, log: str, hangs: str = ""):
        super().__init__(("qdrant", "memgraph"))
        self.log, self.hangs, self.end = log, hangs, threading.Event()

    def logs(self, service: str, lines: int = 50) -> str:
        if service == self.hangs:
            self.end.wait(60)
        return self.log


def test_logs_answers_and_states_are_kept_without_secrets(tmp_path: Path) -> None:
    settings = load_settings(ARCHON_HOME=tmp_path, QDRANT_API_KEY="quite-secret-key", QDRANT_URL="http://127.0.0.1:1")
    runtime = Talking("connected with quite-secret-key\nMEMGRAPH_PASSWORD=hunter2 postgres://a:pw@h/db\n")
    found = capture(settings, runtime, ("qdrant", "ollama"), picture(["qdrant"]), tmp_path / "evidence")
    log = (tmp_path / "evidence/logs/qdrant.log").read_text()
    assert "connected with ***" in log and "hunter2" not in log and ":pw@" not in log
    assert json.loads((tmp_path / "evidence/probes/qdrant.json").read_text())["ok"] is False
    assert {"status.json", "stats.json", "host.json", "findings.json", "probes/ollama.json"} <= set(found.files)
    assert json.loads((tmp_path / "evidence/findings.json").read_text())["unwell"]["qdrant"]["service"] == "qdrant"
    assert not found.missing


def test_what_hangs_is_named_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    runtime, begin = Talking("x", hangs="qdrant"), time.monotonic()
    settings = load_settings(ARCHON_HOME=tmp_path, QDRANT_URL="http://127.0.0.1:1", MEMGRAPH_URI="bolt://127.0.0.1:1")
    found = capture(settings, runtime, ("qdrant", "memgraph"), picture(), tmp_path / "evidence", limit=3.0)
    runtime.end.set()
    assert time.monotonic() - begin < 20
    assert "logs/qdrant.log" in found.missing and "logs/memgraph.log" in found.files
    assert "logs/qdrant.log" in (tmp_path / "evidence/missing.json").read_text()


def test_of_a_long_log_the_end_is_kept(tmp_path: Path) -> None:
    settings = load_settings(ARCHON_HOME=tmp_path)
    capture(
        settings,
        Talking("password" * LARGEST + "x" * LARGEST + "the end"),
        ("qdrant",),
        picture(),
        tmp_path / "evidence",
    )
    kept = (tmp_path / "evidence/logs/qdrant.log").read_bytes()
    assert len(kept) == LARGEST and kept.endswith(b"the end")


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("Authorization: Bearer abcdef123456", "abcdef123456"),
        ('{"api_key": "abcdef123456"}', "abcdef123456"),
        ("SUPABASE_SERVICE_KEY=eyJhbGciOi.eyJyb2xlIjoi.c2ln", "eyJyb2xlIjoi"),
        ("token: abcdef123456, next", "abcdef123456"),
        ("bolt://user:abcdef123456@host:7687", "abcdef123456"),
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str, hidden: str) -> None:
    assert hidden not in Mask()(text)


def test_ordinary_text_stays() -> None:
    text = "GET /collections/archon_vectors 200 in 3 ms; keys: 12; tokenizer ready"
    assert Mask()(text) == text


def test_secrets_of_the_platforms_own_file_are_known(tmp_path: Path) -> None:
    (tmp_path / "platform").mkdir()
    (tmp_path / "platform/.env").write_text("OPENAI_API_KEY=sk-very-long\nLOG_LEVEL=INFO\n")
    mask = Mask.of(load_settings(ARCHON_HOME=tmp_path, POSTGRES_PASSWORD=SecretStr("pass phrase")))
    assert mask("sk-very-long / pass phrase / INFO") == "*** / *** / INFO"


# last words ----------------------------------------------------------------------------------------------------------

REAL = (
    "2026-11-24T03:00:00Z ERROR qdrant::startup: Panic occurred in file lib/collection/src/config.rs at line 9: "
    "Can't read collection config due to expected value at line 1\nat ./storage/collections/quality_vectors/config.json"
)


def test_a_server_names_the_collection_it_died_of() -> None:
    assert set(panicked_over(f"INFO loading\n{REAL}\n")) == {"quality_vectors"}
    ours = (
        "thread 'main' panicked: Can't read collection config due to x at /data/collections/archon_vectors/config.json"
    )
    assert set(panicked_over(ours)) == {"archon_vectors"}


def test_an_older_death_is_not_believed() -> None:
    assert panicked_over(f"{REAL}\nINFO Qdrant HTTP listening on 6333\nINFO stopping\n") == {}


def test_a_death_of_something_else_names_nobody() -> None:
    assert panicked_over("thread 'main' panicked at out of memory\n") == {}
    assert panicked_over("INFO created collections/archon_vectors/0\n") == {}


# files ---------------------------------------------------------------------------------------------------------------


def test_a_directory_is_copied_whole_or_not_at_all(tmp_path: Path) -> None:
    source, target = tmp_path / "data", tmp_path / "aside" / "x"
    (source / "snapshots").mkdir(parents=True)
    (source / "snapshots" / "one").write_text("12345")

    def stop() -> None:
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        files.copy_aside(source, target, stop)
    assert not target.exists() and list(target.parent.iterdir()) == []
    assert files.copy_aside(source, target, lambda: None) == 5
    assert (target / "snapshots" / "one").read_text() == "12345"
    assert files.copy_aside(source, target, lambda: None) == 0  # it is there: a second copy would be of later


def test_a_copy_leaves_room_for_the_others_on_its_disk(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(ServiceError, match="do not fit"):
        files.copy_aside(tmp_path / "data", tmp_path / "aside" / "x", lambda: None, spare=1.0)
    assert list((tmp_path / "aside").iterdir()) == []


def test_a_collection_is_moved_and_never_deleted_also_the_second_time(tmp_path: Path) -> None:
    def made(text: str) -> None:
        (tmp_path / "collections" / "a").mkdir(parents=True)
        (tmp_path / "collections" / "a" / "config.json").write_text(text)

    made("first")
    (moved,) = files.set_aside(tmp_path, ["a"], "incident")
    assert (moved / "config.json").read_text() == "first" and not (tmp_path / "collections" / "a").exists()
    assert files.set_aside(tmp_path, ["a"], "incident") == [moved]  # after a kill
    made("second")
    files.set_aside(tmp_path, ["a"], "incident")
    kept = {file.read_text() for file in (tmp_path / "set-aside").rglob("config.json")}
    assert kept == {"first", "second"}


@pytest.mark.parametrize("name", ["..", ".", "a/b", "nothing"])
def test_nothing_else_can_be_moved(tmp_path: Path, name: str) -> None:
    (tmp_path / "collections").mkdir()
    with pytest.raises(ServiceError):
        files.set_aside(tmp_path, [name], "incident")
    assert (tmp_path / "collections").is_dir()
