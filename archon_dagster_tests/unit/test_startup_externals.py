"""Ollama and Supabase, looked at before anything goes down."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from archon_dagster.errors import ServiceError
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.sandbox.services import keys
from archon_dagster.startup.externals import External, check_externals, require_good

MODEL = "rjmalagon/gte-qwen2-1.5b-instruct-embed-f16:latest"
SERVICE_KEY, ANON_KEY = keys.key("secret", keys.SERVICE), keys.key("secret", keys.ANON)


@dataclass
class Outside:
    """Both external services on one port, with what they have and what they were asked."""

    port: int = 0
    models: tuple[str, ...] = (MODEL,)
    length: int = 1536
    refuses: str = ""
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def settings(self, **more: Any) -> Settings:
        where = f"http://127.0.0.1:{self.port}"
        values = {"OLLAMA_BASE_URL": where, "SUPABASE_URL": where, "EMBEDDING_MODEL": MODEL} | more
        return load_settings(**{"SUPABASE_SERVICE_KEY": SERVICE_KEY} | values)


@contextmanager
def serving(outside: Outside) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            outside.asked.append((self.path, dict(self.headers)))
            if self.path == "/rest/v1/":
                key = self.headers.get("apikey", "")
                self.answer(401, {"message": f"Invalid API key {key}"}) if outside.refuses else self.answer(200, {})
            else:
                self.answer(200, {"models": [{"name": name} for name in outside.models]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            outside.asked.append((self.path, body))
            self.answer(200, {"embeddings": [[0.5] * outside.length]})

        def answer(self, status: int, body: dict[str, Any]) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        outside.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield
        server.shutdown()
        thread.join()


@pytest.fixture
def outside() -> Iterator[Outside]:
    outside = Outside()
    with serving(outside):
        yield outside


def checked(settings: Settings) -> dict[str, External]:
    return {one.name: one for one in check_externals(settings, model_limit=5.0)}


def test_both_are_good_with_the_exact_model_its_real_length_and_a_service_key(outside: Outside) -> None:
    found = checked(outside.settings())
    assert (found["ollama"].state, found["supabase"].state) == ("good", "good")
    assert "1536 dimensions" in found["ollama"].detail
    require_good(tuple(found.values()))


def test_the_model_is_asked_for_a_vector_without_being_told_its_length(outside: Outside) -> None:
    checked(outside.settings())
    (body,) = [body for path, body in outside.asked if path == "/api/embed"]
    assert body["model"] == MODEL
    assert "dimensions" not in body


@pytest.mark.parametrize("other", [(), ("llama3:8b",), (MODEL.replace(":latest", ":q4"),), (MODEL + "-v2",)])
def test_a_200_without_the_exact_model_is_bad(outside: Outside, other: tuple[str, ...]) -> None:
    outside.models = other
    found = checked(outside.settings())["ollama"]
    assert found.state == "bad"
    assert MODEL in found.detail


def test_a_model_whose_vectors_have_another_length_than_the_settings_say_is_bad(outside: Outside) -> None:
    found = checked(outside.settings(EMBEDDING_DIMENSIONS=768))["ollama"]
    assert found.state == "bad"
    assert "returns 1536 numbers, EMBEDDING_DIMENSIONS is 768" in found.detail


def test_what_is_not_configured_is_not_checked_and_no_failure() -> None:
    found = check_externals(load_settings())
    assert [one.state for one in found] == ["not checked", "not checked"]
    assert "OLLAMA_BASE_URL is not set" in found[0].detail
    require_good(found)


def test_what_does_not_answer_is_bad(outside: Outside) -> None:
    settings = outside.settings(OLLAMA_BASE_URL="http://127.0.0.1:1", SUPABASE_URL="http://127.0.0.1:1")
    assert {one.state for one in checked(settings).values()} == {"bad"}


@pytest.mark.parametrize("key", [ANON_KEY, keys.key("secret", "authenticated"), "sb_publishable_abc"])
def test_a_key_without_the_service_role_is_refused_without_asking_anybody(outside: Outside, key: str) -> None:
    found = checked(outside.settings(SUPABASE_SERVICE_KEY=key))["supabase"]
    assert found.state == "bad"
    assert "role" in found.detail
    assert not [path for path, _ in outside.asked if path == "/rest/v1/"]


def test_a_missing_key_is_bad(outside: Outside) -> None:
    found = checked(outside.settings(SUPABASE_SERVICE_KEY=None))["supabase"]
    assert (found.state, "SUPABASE_SERVICE_KEY is not set" in found.detail) == ("bad", True)


def test_a_key_that_is_refused_is_bad_and_never_shown(outside: Outside) -> None:
    outside.refuses = SERVICE_KEY  # and it repeats the key in its answer
    found = tuple(checked(outside.settings()).values())
    with pytest.raises(ServiceError, match=r"supabase bad: HTTP 401[\s\S]*nothing was touched") as error:
        require_good(found)
    assert SERVICE_KEY not in f"{error.value}{found}"
    assert SERVICE_KEY.rpartition(".")[2] not in f"{error.value}{found}"
