"""Ollama and Supabase: nothing here can start them, so they are looked at before anything goes down.

A 200 says little. Ollama must have the exact model and the model must return vectors of the length that the settings
promise (``EMBEDDING_DIMENSIONS``): a platform whose collections have another length refuses every document. Supabase
must take the key, and the key must be a service key: its role is read from the key itself, without asking anybody.
What is not configured is *not checked*, which is no failure and is said. No part of a key is ever shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from archon_dagster.asking import ask_all
from archon_dagster.errors import ServiceError
from archon_dagster.platform.probes import address, probe
from archon_dagster.platform.probes.answer import FAILURES, Unwell, in_words
from archon_dagster.platform.probes.externals import embedding_length, role_of
from archon_dagster.platform.services import BY_NAME, CATALOGUE
from archon_dagster.platform.settings import Settings

State = Literal["good", "bad", "not checked"]

MODEL_LIMIT = 60.0  # seconds: a model that is not loaded yet is loaded from disk first
SERVICE_ROLE = "service_role"


@dataclass(frozen=True, slots=True)
class External:
    """What one external service is like."""

    name: str
    state: State
    detail: str
    address: str = ""
    seconds: float = 0.0

    @property
    def line(self) -> str:
        """The whole as one line."""
        return f"{self.name} {self.state}: {self.detail}" + (f" ({self.address})" if self.address else "")


def check_externals(settings: Settings, model_limit: float = MODEL_LIMIT) -> tuple[External, ...]:
    """Look at every external service, side by side.

    :param model_limit: seconds the embedding model may take for one text.
    """
    checks: dict[str, Callable[[], External]] = {
        "ollama": lambda: _check("ollama", settings, lambda: _ollama(settings, model_limit)),
        "supabase": lambda: _check("supabase", settings, lambda: _supabase(settings)),
    }
    externals = [service.name for service in CATALOGUE if service.external]
    limit = max(BY_NAME[name].probe.timeout for name in externals) + model_limit + 2.0
    answers = ask_all({name: checks[name] for name in externals}, limit)
    return tuple(_in_time(name, answers[name], settings) for name in externals)


def require_good(externals: tuple[External, ...]) -> None:
    """:class:`ServiceError` where one is bad; for a caller that has not touched anything yet."""
    bad = [external for external in externals if external.state == "bad"]
    if bad:
        raise ServiceError(
            f"{'; '.join(external.line for external in bad)}; nothing was touched",
            tried="; ".join(external.line for external in externals if external.state != "bad") or None,
            todo="mend that first: the platform runs as it did; to go on without: --despite-externals",
        )


def _check(name: str, settings: Settings, ask: Callable[[], tuple[State, str]]) -> External:
    service, begin = BY_NAME[name], time.monotonic()
    where = address(service, settings)
    if not where:
        return External(name, "not checked", f"{service.address_setting} is not set")
    try:
        state, said = ask()
    except Unwell as bad:
        state, said = "bad", str(bad)
    except (*FAILURES, KeyError, TypeError) as error:
        state, said = "bad", in_words(error, service.probe.timeout)
    return External(name, state, _without_key(said, settings), where, time.monotonic() - begin)


def _in_time(name: str, answer: External | Exception, settings: Settings) -> External:
    if isinstance(answer, External):
        return answer
    return External(name, "bad", str(answer), address(BY_NAME[name], settings))


def _ollama(settings: Settings, limit: float) -> tuple[State, str]:
    answer = probe(BY_NAME["ollama"], settings)
    if not answer.ok:
        return "bad", answer.text
    if settings.embedding_model is None:
        return "good", f"{answer.text}; EMBEDDING_MODEL is not set, so no model was checked"
    wanted = settings.embedding_dimensions
    try:
        length = embedding_length(settings, limit)
    except FAILURES as error:
        return "bad", f"{settings.embedding_model} gives no vector: {in_words(error, limit)}"
    if length != wanted:
        return "bad", f"{settings.embedding_model} returns {length} numbers, EMBEDDING_DIMENSIONS is {wanted}"
    return "good", f"{answer.text}, {length} dimensions"


def _supabase(settings: Settings) -> tuple[State, str]:
    key = settings.supabase_key
    role = role_of(key.get_secret_value()) if key is not None else ""
    if role and role != SERVICE_ROLE:
        return "bad", f"SUPABASE_SERVICE_KEY has the role {role}, it must be {SERVICE_ROLE}"
    answer = probe(BY_NAME["supabase"], settings)
    return ("good", f"takes the key{f', role {role}' if role else ''}") if answer.ok else ("bad", answer.text)


def _without_key(text: str, settings: Settings) -> str:
    """A server may repeat in its answer what it was sent."""
    key = settings.supabase_key.get_secret_value() if settings.supabase_key else ""
    return text.replace(key, "…") if key else text
