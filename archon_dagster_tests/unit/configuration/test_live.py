"""What the servers that a file names make of it: of variables that stand in the file, and of none other."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from archon_dagster.configuration.live import ask_servers
from archon_dagster.configuration.validation import Validation, validate
from archon_dagster.errors import Cancelled
from archon_dagster_tests.unit.configuration.sample import line_of, with_
from archon_dagster_tests.unit.test_startup_externals import MODEL, SERVICE_KEY, Outside, serving

AT_ONCE = 4.0  # seconds; a server that does not answer is given longer


@pytest.fixture
def outside() -> Iterator[Outside]:
    outside = Outside()
    with serving(outside):
        yield outside


def file(outside: Outside, *lines: str, without: str = "") -> bytes:
    """A good file with these servers' addresses."""
    where = f"http://127.0.0.1:{outside.port}"
    servers = (f"OLLAMA_BASE_URL={where}", f"SUPABASE_URL={where}", f"SUPABASE_SERVICE_KEY={SERVICE_KEY}")
    return with_(*servers, f"EMBEDDING_MODEL={MODEL}", *lines, without=without)


def asked(outside: Outside, content: bytes, *servers: str) -> Validation:
    return ask_servers(validate(content), outside.settings(), servers)


def test_the_singular_alone_is_what_the_model_is_compared_with(outside: Outside) -> None:
    content = file(outside, "EMBEDDING_DIMENSION=768", without="EMBEDDING_DIMENSIONS")
    (told,) = [one for one in asked(outside, content, "ollama").errors if one.text.startswith("ollama:")]
    assert "returns 1536 numbers, EMBEDDING_DIMENSION is 768" in told.text
    assert (told.key, told.line) == ("EMBEDDING_DIMENSION", line_of(content, "EMBEDDING_DIMENSION"))


def test_a_server_is_asked_although_something_else_of_its_variables_is_not_good(outside: Outside) -> None:
    """The length is a number, but not that of the model, which the model itself is to say."""
    outside.models = ()
    found = asked(outside, file(outside, "EMBEDDING_DIMENSIONS=768"), "ollama", "supabase")
    assert any(one.text.startswith("ollama:") and "is not there" in one.text for one in found.errors)
    assert "/rest/v1/" in [path for path, _ in outside.asked]


@pytest.mark.parametrize(
    ("line", "without", "why"),
    [
        ("EMBEDDING_DIMENSIONS=many", "", "EMBEDDING_DIMENSIONS is wrong"),
        ("LOG_LEVEL=INFO", "OLLAMA_BASE_URL", "OLLAMA_BASE_URL is not set"),
    ],
)
def test_one_that_cannot_be_asked_is_told_with_the_reason(outside: Outside, line: str, without: str, why: str) -> None:
    content = b"\n".join(
        one for one in file(outside, line).splitlines() if not without or not one.startswith(without.encode())
    )
    found = asked(outside, content, "ollama", "supabase")
    (told,) = [one for one in found.problems if "was not asked" in one.text]
    assert (told.severity, told.text) == ("warning", f"ollama was not asked, because {why}")
    assert {path for path, _ in outside.asked} == {"/rest/v1/"}


def test_the_command_ends_at_once_when_it_is_interrupted(outside: Outside, tmp_path: Path) -> None:
    new = tmp_path / "new.env"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60.0)
        outside.port = silent.getsockname()[1]
        new.write_bytes(file(outside, f"QDRANT_URL=http://127.0.0.1:{outside.port}"))
        command = [sys.executable, "-m", "archon_dagster.cli", "config", "validate", str(new), "--live"]
        environment = {**os.environ, "ARCHON_HOME": str(tmp_path)}
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as running:
            connection, _ = silent.accept()  # it asks now
            begin = time.monotonic()
            running.send_signal(signal.SIGINT)
            _, said = running.communicate(timeout=60.0)
            connection.close()
    assert running.returncode == 130, said
    assert time.monotonic() - begin < AT_ONCE


def test_a_server_that_hangs_does_not_keep_who_wants_to_stop(outside: Outside) -> None:
    stop = threading.Event()

    def check() -> None:
        if stop.is_set():
            raise Cancelled("stopped")

    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection and never answers
        outside.port = silent.getsockname()[1]
        content, begin = file(outside), time.monotonic()
        threading.Timer(0.2, stop.set).start()
        with pytest.raises(Cancelled):
            ask_servers(validate(content), outside.settings(), ("ollama",), check)
        assert time.monotonic() - begin < AT_ONCE
