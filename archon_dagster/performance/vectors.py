"""Qdrant: what each collection says of itself, and how fast it finds the neighbours of points that it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any

from archon_dagster.errors import StoreError
from archon_dagster.performance.measures import Fact, Found, Missing, Reading, Site
from archon_dagster.performance.response_times import SEARCH, services
from archon_dagster.performance.sampling import asked
from archon_dagster.platform.probes.answer import FAILURES, Unwell, in_words
from archon_dagster.platform.probes.known_answer import Vectors, queryable
from archon_dagster.platform.probes.web import client as web_client
from archon_dagster.platform.probes.web import success
from archon_dagster.platform.services import ARCHON_COLLECTIONS
from archon_dagster.platform.settings import Settings
from archon_dagster.stores.vectors.client import Client
from archon_dagster.stores.vectors.transport import Transport

QUESTIONS = 8  # stored points whose vectors the searches use
SEARCHED = 10  # collections that are searched; of the others only what they say is read


def measure(site: Site) -> Iterator[Found]:
    """Every collection; the platform's own ones first."""
    with opened(site.settings, site.check) as client:
        names = sorted(client.collections(), key=lambda name: (name not in ARCHON_COLLECTIONS, name))
        for number, name in enumerate(names):
            try:
                yield from _collection(site, client, name, searched=number < SEARCHED)
            except StoreError as error:
                yield Missing(area="vectors", subject=name, why=str(error).partition("\n")[0])
        if not names:
            yield Fact(area="vectors", subject="qdrant", name="collections", text="none")
        elif len(names) > SEARCHED:
            left = f"{', '.join(names[SEARCHED:])} (at most {SEARCHED} collections are)"
            yield Fact(area="vectors", subject="qdrant", name="not searched", text=left)
    yield from _said_by_search(site)


@contextmanager
def opened(settings: Settings, check: Callable[[], None]) -> Iterator[Client]:
    """A client of the server that the settings name."""
    key = settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key else None
    with Transport(settings.qdrant_url, key) as transport:
        yield Client(transport, check)


def question(client: Client, name: str, info: dict[str, Any]) -> Callable[[], object] | None:
    """A search of the collection by vectors that it holds; ``None`` where it holds none that could be asked with."""
    points, _ = client.scroll(name, QUESTIONS, content=True)
    found = [query for point in points if (query := queryable(point, Vectors.of(info))) is not None]
    if not found:
        return None
    queries = cycle(found)

    def ask() -> None:
        query = next(queries)
        if not client.search(name, query.vector, query.using, 10, exact=False):
            raise Unwell("the neighbours of a stored point are none")

    return ask


def numbers(info: dict[str, Any]) -> dict[str, float]:
    """What a collection says of itself, as numbers; servers differ in what they say."""
    points = int(info.get("points_count") or 0)
    found: dict[str, float] = {"points": points}
    if info.get("segments_count") is not None:
        found["segments"] = int(info["segments_count"])
    if points and info.get("indexed_vectors_count") is not None:
        found["indexed"] = round(min(1.0, int(info["indexed_vectors_count"]) / points), 4)
    return found


def _collection(site: Site, client: Client, name: str, *, searched: bool) -> Iterator[Found]:
    site.check()
    info = client.info(name)
    read = numbers(info)
    disk = client.disk_bytes(name)
    if disk is not None:
        read["disk"] = disk
    for what, value in read.items():
        yield Reading(area="vectors", subject=name, name=what, value=value)
    optimizers = info["config"]["optimizer_config"]
    said = {
        "status": str(info.get("status")),
        "optimizers": str(info.get("optimizer_status", "ok")),
        "indexing_threshold": str(optimizers.get("indexing_threshold")),
        "flush_interval_sec": str(optimizers.get("flush_interval_sec")),
    }
    for what, text in said.items():
        yield Fact(area="vectors", subject=name, name=what, text=text)
    if said["status"] == "red" or said["optimizers"] != "ok":
        why = f"status {said['status']}, optimizers: {said['optimizers']}"
        yield Missing(area="vectors", subject=name, why=why)
    if searched:
        ask = question(client, name, info)
        if ask is None:
            yield Fact(area="vectors", subject=name, name="not searched", text="it holds no vector to ask with")
        else:
            yield from asked(site, "vectors", name, ask)


def _said_by_search(site: Site) -> Iterator[Found]:
    """What the search service says of its index: words, not measured; it answers 200 with an error, too."""
    service = next((one for one in services(site) if one.name == SEARCH), None)
    if service is None:
        return
    try:
        with web_client(service, site.settings) as http:
            said = success(http.get("/search/stats")).json()
        if "error" in said:
            raise Unwell(f"HTTP 200, but {said['error']}")
        for what, value in said["vector_index"].items():
            yield Fact(area="vectors", subject=f"said by {SEARCH}", name=str(what), text=str(value))
    except (Unwell, *FAILURES, KeyError, TypeError, AttributeError) as error:
        why = str(error) if isinstance(error, Unwell) else in_words(error, service.probe.timeout)
        yield Missing(area="vectors", subject=f"said by {SEARCH}", why=why)
