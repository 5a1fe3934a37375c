"""How fast the platform's own services answer: their health, and a search that finds something.

Externals are left out: fifty questions to somebody else's server are not ours to ask; the health monitor keeps times
of single ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

import httpx

from archon_dagster.performance.measures import Fact, Found, Missing, Site
from archon_dagster.performance.sampling import TIMEOUT, asked
from archon_dagster.platform.probes.answer import FAILURES, Unwell
from archon_dagster.platform.probes.qdrant import connect, path, result
from archon_dagster.platform.probes.verdict import judge
from archon_dagster.platform.probes.web import client, success
from archon_dagster.platform.services import ARCHON_COLLECTIONS, BY_NAME, Service

SEARCH = "archon-search"
QUERIES = (
    "how are documents indexed", "configuration of the service", "error handling and retries", "vector search",
    "class that reads a file", "test of the connection", "knowledge graph relationships", "security and tokens",
)  # fmt: skip


def measure(site: Site) -> Iterator[Found]:
    """A sample for each HTTP service that this platform has, and one of searches."""
    for service in services(site):
        site.check()
        with client(service, site.settings) as http:
            http.timeout = httpx.Timeout(TIMEOUT)
            yield from asked(site, "response_times", service.name, lambda: _health(service, http))  # noqa: B023
            if service.name == SEARCH:
                yield from _search(site, http)


def services(site: Site) -> list[Service]:
    """Those with HTTP of their own; where they run elsewhere, those the platform cannot be without."""
    here = site.runtime.services()
    ours = [one for one in BY_NAME.values() if one.probe.kind == "http" and not one.external]
    return [one for one in ours if (one.name in here if here else one.critical)]


def _health(service: Service, http: httpx.Client) -> None:
    """A 200 that says degraded is no good answer, however fast."""
    judge(success(http.get(service.probe.path)).text, says_health=service.probe.path == "/health")


def _search(site: Site, http: httpx.Client) -> Iterator[Found]:
    subject = f"{SEARCH}, a search"
    try:
        stored = _stored(site)
    except (Unwell, *FAILURES, KeyError, TypeError) as error:
        yield Missing(area="response_times", subject=subject, why=f"it is not known what could be found: {error}")
        return
    if not stored:
        yield Fact(
            area="response_times", subject=subject, name="not asked", text="nothing is stored that could be found"
        )
        return
    queries = cycle(QUERIES)

    def ask() -> None:
        answer = success(http.post("/search", json={"query": next(queries), "mode": "semantic", "limit": 10})).json()
        if not answer["results"]:  # what it answers to any failure of its own, and fast
            raise Unwell(f"HTTP 200 without a result, and {stored:,} points are stored")

    yield from asked(site, "response_times", subject, ask)


def _stored(site: Site) -> int:
    """Points in the collections that the service searches."""
    with connect(BY_NAME["qdrant"], site.settings) as qdrant:
        there = {str(entry["name"]) for entry in result(qdrant, "GET", "/collections")["collections"]}
        return sum(
            int(result(qdrant, "POST", path(name, "points", "count"), {"exact": False})["count"])
            for name in ARCHON_COLLECTIONS[:2]
            if name in there
        )
