"""The external services: a 200 says little about them.

Ollama lists its models with a 200 also when the one that is needed is not among them; Supabase's REST root wants a
service key and takes no anonymous one.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from archon_dagster.platform.probes.answer import Unwell
from archon_dagster.platform.probes.web import client, success
from archon_dagster.platform.services import BY_NAME, Service
from archon_dagster.platform.settings import Settings


def ask_ollama(service: Service, settings: Settings, _: bool) -> str:
    """The exact model of the settings is there (without one, any answer is good)."""
    with client(service, settings) as http:
        listed = success(http.get("/api/tags")).json()
    names = [str(model.get("name")) for model in listed.get("models") or () if isinstance(model, dict)]
    wanted = settings.embedding_model
    if wanted is None:
        return f"answers, {len(names)} models"
    if _tagged(wanted) not in map(_tagged, names):
        raise Unwell(f"answers, but the model {wanted} is not there; it has {', '.join(names[:5]) or 'none'}")
    return f"has {wanted}"


def embedding_length(settings: Settings, timeout: float) -> int:
    """How many numbers the model really returns for a text; asked without ``dimensions``, which would bend it.

    :raises Unwell: it returns no vector. Other failures as of :mod:`httpx`.
    """
    body = {"model": settings.embedding_model, "input": "health"}
    with client(BY_NAME["ollama"], settings) as http:
        answer = success(http.post("/api/embed", json=body, timeout=timeout)).json()
    vectors = answer.get("embeddings") if isinstance(answer, dict) else None
    if not vectors or not isinstance(vectors[0], list) or not vectors[0]:
        raise Unwell(f"{settings.embedding_model} returns no vector: {str(answer)[:120]}")
    return len(vectors[0])


def ask_supabase(service: Service, settings: Settings, _: bool) -> str:
    """The REST root, with the service key."""
    if settings.supabase_key is None:
        raise Unwell("SUPABASE_SERVICE_KEY is not set: the REST root refuses to answer without it")
    key = settings.supabase_key.get_secret_value()
    if role_of(key) == "anon":
        raise Unwell("SUPABASE_SERVICE_KEY is an anonymous key: its role must be service_role")
    login = {"apikey": key} | ({"Authorization": f"Bearer {key}"} if key.count(".") == 2 else {})
    with client(service, settings, login) as http:
        success(http.get(service.probe.path))
    return "answers"


def role_of(key: str) -> str:
    """The role a key was made for, read from the key itself; empty where it does not say."""
    if key.startswith("sb_publishable_"):
        return "anon"
    parts = key.split(".")
    if len(parts) != 3:
        return ""
    try:
        claims: Any = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return ""
    return str(claims.get("role", "")) if isinstance(claims, dict) else ""


def _tagged(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"
