"""A running platform of real servers for the integration tests, one for the whole session."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from archon_dagster.platform.settings import Settings
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster_tests.platforms import running_platform


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """``sandbox.settings``, ``sandbox.runtime``, ``sandbox.home``; goes with the test process, however that ends."""
    home = tmp_path_factory.mktemp("sandbox")
    with running_platform(home) as made:
        yield made
    shutil.rmtree(home)


@pytest.fixture
def clean_sandbox(sandbox: Sandbox) -> Sandbox:
    """The sandbox with its stores emptied."""
    clean(sandbox)
    return sandbox


def clean(sandbox: Sandbox) -> None:
    """Empty every store of a sandbox; the servers go on."""
    if "qdrant" in sandbox.services:
        _clean_vectors(sandbox.settings)
    _clean_graph(sandbox.settings)
    _clean_relational(sandbox)


def _clean_vectors(settings: Settings) -> None:
    import httpx

    with httpx.Client(base_url=settings.qdrant_url, timeout=30.0) as client:
        for entry in client.get("/collections").raise_for_status().json()["result"]["collections"]:
            client.delete(f"/collections/{entry['name']}").raise_for_status()


def _clean_graph(settings: Settings) -> None:
    import neo4j

    login = (settings.memgraph_user, settings.memgraph_password.get_secret_value())
    with neo4j.GraphDatabase.driver(settings.memgraph_uri, auth=login if any(login) else None) as driver:
        driver.execute_query("MATCH (n) DETACH DELETE n", database_=settings.memgraph_database)


def _clean_relational(sandbox: Sandbox) -> None:
    statement = "DROP SCHEMA public CASCADE; CREATE SCHEMA public;"
    with sandbox.runtime.exec("postgres", ["psql", "-qX", "-v", "ON_ERROR_STOP=1", "-c", statement]) as command:
        command.stdin.close()
        if command.wait(60.0) != 0:
            raise subprocess.CalledProcessError(1, "psql", stderr=command.stderr_tail())
