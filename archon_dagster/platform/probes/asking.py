"""One probe of one service."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable

from archon_dagster.platform.probes.addresses import address
from archon_dagster.platform.probes.answer import FAILURES, Answer, Unwell, in_words, was_reached
from archon_dagster.platform.probes.externals import ask_ollama, ask_supabase
from archon_dagster.platform.probes.qdrant import ask_qdrant
from archon_dagster.platform.probes.web import ask_http
from archon_dagster.platform.probes.wire import ask_bolt, ask_postgres, ask_tcp
from archon_dagster.platform.services import ProbeKind, Service
from archon_dagster.platform.settings import Settings

Ask = Callable[[Service, Settings, bool], str]

_ASK: dict[ProbeKind, Ask] = {
    "http": ask_http,
    "qdrant": ask_qdrant,
    "bolt": ask_bolt,
    "postgres": ask_postgres,
    "tcp": ask_tcp,
}
_EXTERNAL: dict[str, Ask] = {"ollama": ask_ollama, "supabase": ask_supabase}


def probe(service: Service, settings: Settings, *, loaded: bool = True) -> Answer:
    """Ask one service once; takes at most a little more than the probe's timeout.

    :param loaded: what a store holds must be usable too; ``False`` before a restore, which is there to repair it.
    """
    if not address(service, settings):
        return Answer(False, f"not configured: {service.address_setting} is not set", 0.0, reached=False)
    ask = _EXTERNAL.get(service.name) or _ASK[service.probe.kind]
    return answer_of(lambda: ask(service, settings, loaded), service.probe.timeout)


def answer_of(ask: Callable[[], str], timeout: float) -> Answer:
    """What asking gave, as an answer with the time it took."""
    begin = time.monotonic()
    try:
        return Answer(True, ask(), time.monotonic() - begin)
    except Unwell as bad:
        return Answer(False, str(bad), time.monotonic() - begin, degraded=bad.degraded)
    except FAILURES as error:
        return Answer(False, in_words(error, timeout), time.monotonic() - begin, reached=was_reached(error))


def warm_up() -> None:
    """Load the libraries that a probe needs: the first service asked must not be timed with their import."""
    importlib.import_module("neo4j")
