"""Sample data in all stores of a real platform."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.settings import Settings
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster.sandbox.seed import SeedReport, seed
from archon_dagster.stores.base import Work
from archon_dagster.stores.relational import open_relational

pytestmark = pytest.mark.sandbox

FILES, POINTS = 25, 120


@pytest.fixture
def seeded(clean_sandbox: Sandbox) -> SeedReport:
    return seed(clean_sandbox.settings, clean_sandbox.runtime, limit=FILES, max_points=POINTS)


@pytest.fixture
def qdrant(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.settings.qdrant_url, timeout=30.0) as client:
        yield client


def graph_counts(settings: Settings) -> tuple[int, int]:
    import neo4j

    login = (settings.memgraph_user, settings.memgraph_password.get_secret_value())
    with (
        neo4j.GraphDatabase.driver(settings.memgraph_uri, auth=login) as driver,
        driver.session(database=settings.memgraph_database) as session,
    ):
        nodes = session.run("MATCH (n) RETURN count(n) AS count").single(strict=True)["count"]
        return nodes, session.run("MATCH ()-[r]->() RETURN count(r) AS count").single(strict=True)["count"]


def test_the_report_says_what_is_there(sandbox: Sandbox, seeded: SeedReport, qdrant: httpx.Client) -> None:
    assert (seeded.nodes, seeded.relationships) == graph_counts(sandbox.settings)
    for collection, count in seeded.points.items():
        answer = qdrant.post(f"/collections/{collection}/points/count", json={"exact": True})
        assert answer.json()["result"]["count"] == count
    rows = open_relational(sandbox.settings, sandbox.runtime).describe().counts
    assert rows == {f"public.{table}": count for table, count in seeded.rows.items()}
    assert seeded.files == FILES and seeded.points["archon_vectors"] == POINTS and seeded.points["quality_vectors"] == 0


def test_ids_of_full_range_arrive_whole(seeded: SeedReport, qdrant: httpx.Client) -> None:
    from archon_dagster.sandbox.seed import points
    from archon_dagster.sandbox.seed.sources import read_sources

    files = list(read_sources(seeded.folder, FILES))
    expected = {point["id"] for point in points.documents(seeded.folder.name, files, POINTS)}
    page = qdrant.post("/collections/archon_vectors/points/scroll", json={"limit": 1000}).json()["result"]["points"]
    assert {point["id"] for point in page} == expected
    assert any(isinstance(i, int) and i >= 2**63 for i in expected)


def test_a_stored_function_is_found_by_what_it_does(sandbox: Sandbox, seeded: SeedReport) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{sandbox.settings.search_port}", timeout=30.0) as client:
        deadline = time.monotonic() + 30
        titles: list[str] = []
        while not titles and time.monotonic() < deadline:
            body = client.post("/search", json={"query": "argparse ArgumentParser", "mode": "semantic"}).json()
            titles = [result["title"] or result["relative_path"] for result in body["results"]]
        assert any("argparse" in title for title in titles)


def test_seeding_again_changes_nothing(sandbox: Sandbox, seeded: SeedReport, tmp_path: Path) -> None:
    store = open_relational(sandbox.settings, sandbox.runtime)
    before, graph = store.fingerprint(Work(tmp_path)), graph_counts(sandbox.settings)
    again = seed(sandbox.settings, sandbox.runtime, limit=FILES, max_points=POINTS)
    assert before.differences(store.fingerprint(Work(tmp_path))) == []
    assert graph_counts(sandbox.settings) == graph
    assert (again.points, again.rows, again.nodes) == (seeded.points, seeded.rows, seeded.nodes)


def test_what_was_lost_of_the_graph_comes_back(sandbox: Sandbox, seeded: SeedReport) -> None:
    import neo4j

    settings = sandbox.settings
    login = (settings.memgraph_user, settings.memgraph_password.get_secret_value())
    with neo4j.GraphDatabase.driver(settings.memgraph_uri, auth=login) as driver:
        driver.execute_query("MATCH (p:Page) DETACH DELETE p", database_=settings.memgraph_database)
    assert graph_counts(settings) != (seeded.nodes, seeded.relationships)
    seed(settings, sandbox.runtime, limit=FILES, max_points=POINTS)
    assert graph_counts(settings) == (seeded.nodes, seeded.relationships)


def test_a_folder_without_source_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no Python source"):
        seed(sandbox.settings, sandbox.runtime, tmp_path)
