"""Ollama and Supabase: a 200 is not enough."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from archon_dagster.platform.probes import Answer, probe
from archon_dagster.platform.probes.externals import role_of
from archon_dagster.platform.services import BY_NAME
from archon_dagster.platform.settings import load_settings
from archon_dagster_tests.unit.test_probes import http_server

TAGS = json.dumps({"models": [{"name": "other:latest"}, {"name": "org/gte:f16"}]})


def ollama(model: str | None, status: int = 200) -> Answer:
    with http_server({"/api/tags": (status, TAGS)}) as port:
        settings = load_settings(OLLAMA_BASE_URL=f"http://127.0.0.1:{port}", EMBEDDING_MODEL=model)
        return probe(BY_NAME["ollama"], settings)


@pytest.mark.parametrize("model", ["org/gte:f16", "other", "other:latest", None])
def test_ollama_with_the_exact_model_is_good(model: str | None) -> None:
    assert ollama(model).ok


@pytest.mark.parametrize("model", ["org/gte", "org/gte:f32", "gte:f16"])
def test_ollama_without_the_exact_model_is_not_and_says_what_it_has(model: str) -> None:
    answer = ollama(model)
    assert not answer.ok and answer.reached
    assert model in answer.text and "org/gte:f16" in answer.text


def jwt(role: str) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"role": role}).encode()).decode().rstrip("=")
    return f"e30.{claims}.c2ln"


@pytest.mark.parametrize(
    ("key", "role"),
    [
        (jwt("anon"), "anon"),
        (jwt("service_role"), "service_role"),
        ("sb_publishable_x", "anon"),
        ("sb_secret_x", ""),
        ("a.b.c", ""),
        ("", ""),
    ],
)
def test_the_role_is_read_from_the_key(key: str, role: str) -> None:
    assert role_of(key) == role


def supabase(key: str | None) -> Answer:
    with http_server({"/rest/v1/": (200, "{}")}) as port:
        settings = load_settings(SUPABASE_URL=f"http://127.0.0.1:{port}", SUPABASE_SERVICE_KEY=key)
        return probe(BY_NAME["supabase"], settings)


def test_supabase_wants_a_service_key() -> None:
    assert supabase(jwt("service_role")).ok
    for key in (None, jwt("anon")):
        answer = supabase(key)
        assert not answer.ok and "SUPABASE_SERVICE_KEY" in answer.text
        assert key is None or key not in answer.text


@pytest.mark.parametrize("key", [jwt("service_role"), "sb_secret_x"])
def test_supabase_is_asked_with_the_key_without_which_it_refuses(key: str) -> None:
    class Supabase(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.headers.get("apikey") == key else 401)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Supabase) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        where = f"http://127.0.0.1:{server.server_address[1]}"
        answers = {
            sent: probe(BY_NAME["supabase"], load_settings(SUPABASE_URL=where, SUPABASE_SERVICE_KEY=sent))
            for sent in (key, "sb_secret_of_another_project")
        }
        server.shutdown()
        thread.join()
    assert [answer.ok for answer in answers.values()] == [True, False]
    assert "401" in answers["sb_secret_of_another_project"].text
