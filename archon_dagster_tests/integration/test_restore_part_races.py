"""While one part is added to a live store, other clients are at work there: nothing of theirs is lost."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.context import OperationContext, Step, open_context
from archon_dagster.errors import ConfigurationError, RestoreFailed, StoreError
from archon_dagster.repository.manifest import Manifest
from archon_dagster.restore.journal import JournalFile
from archon_dagster.restore.selection import Selection
from archon_dagster.sandbox import lifecycle
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster.sandbox.seed import seed
from archon_dagster.stores.base import Progress
from archon_dagster_tests.integration.test_restore_target import cypher, fingerprints, qdrant, restore

pytestmark = [pytest.mark.sandbox, pytest.mark.long, pytest.mark.timeout(400)]

COLLECTION, COPY = "code_generation_patterns", "copy of it"
THEIRS = {"points": [{"id": 4711, "vector": [1.0, 2.0], "payload": {"whose": "theirs"}}]}
SMALL = {"vectors": {"size": 2, "distance": "Dot"}}
WRITER = "archon-search"

News = Step | Progress


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    home = tmp_path_factory.mktemp("races")
    sandbox = lifecycle.up(home, owner_pid=os.getpid())
    seed(sandbox.settings, sandbox.runtime, limit=12, max_points=60)
    yield sandbox
    lifecycle.down(home)


@pytest.fixture(scope="module")
def backup(platform: Sandbox) -> Manifest:
    result = take_backup(open_context(platform.settings), BackupRequest())
    assert result.good
    return result.manifest


@pytest.fixture
def context(platform: Sandbox, backup: Manifest) -> Iterator[OperationContext]:
    before = fingerprints(platform.settings)
    yield open_context(platform.settings)
    assert fingerprints(platform.settings) == before
    assert JournalFile(platform.settings).read() is None
    assert all(status.state == "running" for status in platform.runtime.status())


def when(context: OperationContext, moment: str, act: Callable[[], Any]) -> OperationContext:
    """The same context, with another client that acts once, when the restore tells of this step or phase."""
    acted: list[str] = []

    def other_client(news: News) -> None:
        told = news.name if isinstance(news, Step) else news.step
        if told == moment and not acted:
            acted.append(told)
            act()

    return replace(context, report=other_client)


def at(name: str, *more: str) -> str:
    return "/".join(["/collections", quote(name, safe=""), *more])


@contextmanager
def theirs(platform: Sandbox, name: str) -> Iterator[Callable[[], None]]:
    """Makes a collection with one point; afterwards it must still have that point, and no other."""

    def make() -> None:
        qdrant(platform.settings, "PUT", at(name), SMALL)
        qdrant(platform.settings, "PUT", at(name, "points?wait=true"), THEIRS)

    yield make
    (point,) = points_of(platform, name)
    assert (point["id"], point["payload"]) == (4711, {"whose": "theirs"})


def points_of(platform: Sandbox, name: str) -> list[dict[str, Any]]:
    return list(qdrant(platform.settings, "POST", at(name, "points/scroll"), {"limit": 1000})["points"])


def delete(platform: Sandbox, name: str) -> None:
    qdrant(platform.settings, "DELETE", at(name))


# a collection --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("moment", ["restore vectors", f"check {COLLECTION}", f"restore {COPY}"])
def test_a_collection_that_another_client_makes_of_that_name_meanwhile_is_left_alone(
    platform: Sandbox, context: OperationContext, backup: Manifest, portable: bool, moment: str
) -> None:
    selection = Selection("collection", COLLECTION, COPY)
    with theirs(platform, COPY) as make, pytest.raises(RestoreFailed) as caught:
        restore(when(context, moment, make), backup.id, selection=selection, portable=portable)
    assert f"somebody else has made {COPY} meanwhile" in str(caught.value)
    assert "by hand" not in str(caught.value)
    delete(platform, COPY)


@pytest.mark.parametrize("portable", [False, True])
def test_an_alias_of_that_name_is_left_alone(
    platform: Sandbox, context: OperationContext, backup: Manifest, portable: bool
) -> None:
    def make() -> None:
        alias = {"create_alias": {"alias_name": COPY, "collection_name": "archon_vectors"}}
        qdrant(platform.settings, "POST", "/collections/aliases", {"actions": [alias]})

    selection = Selection("collection", COLLECTION, COPY)
    with pytest.raises(RestoreFailed, match=f"somebody else has made {COPY} meanwhile"):
        restore(when(context, f"restore {COPY}", make), backup.id, selection=selection, portable=portable)
    aliases = qdrant(platform.settings, "GET", "/aliases")["aliases"]
    assert {"alias_name": COPY, "collection_name": "archon_vectors"} in aliases
    qdrant(platform.settings, "POST", "/collections/aliases", {"actions": [{"delete_alias": {"alias_name": COPY}}]})


@pytest.mark.parametrize("portable", [False, True])
def test_points_that_another_client_has_put_into_it_are_left_and_named(
    platform: Sandbox, context: OperationContext, backup: Manifest, portable: bool
) -> None:
    before = points_of(platform, COLLECTION)
    size = qdrant(platform.settings, "GET", at(COLLECTION))["config"]["params"]["vectors"]["size"]

    def add() -> None:
        point = {"id": 4711, "vector": [1.0] * size, "payload": {"whose": "theirs"}}
        qdrant(platform.settings, "PUT", at(COPY, "points?wait=true"), {"points": [point]})

    selection = Selection("collection", COLLECTION, COPY)
    with pytest.raises(RestoreFailed, match="may have stayed in part") as caught:
        restore(when(context, "compare fingerprints", add), backup.id, selection=selection, portable=portable)
    assert f"it holds {len(before) + 1} points" in str(caught.value)
    assert 4711 in [point["id"] for point in points_of(platform, COPY)]
    delete(platform, COPY)


def test_what_fails_by_itself_is_removed(platform: Sandbox, context: OperationContext, backup: Manifest) -> None:
    def fewer() -> None:
        ids = {"points": [points_of(platform, COPY)[0]["id"]]}
        qdrant(platform.settings, "POST", at(COPY, "points/delete?wait=true"), ids)

    with pytest.raises(RestoreFailed, match="what it had made was removed"):
        restore(
            when(context, "compare fingerprints", fewer), backup.id, selection=Selection("collection", COLLECTION, COPY)
        )


@pytest.mark.parametrize("name", ["a/b", "a:b", "..", "x" * 256, "☃" * 100])
def test_a_name_that_no_server_takes_is_refused_before_anything_is_tried(
    context: OperationContext, backup: Manifest, name: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"a collection cannot be called .* nothing was touched") as caught:
        restore(context, backup.id, selection=Selection("collection", COLLECTION, name))
    assert "--as" in (caught.value.todo or "")


# a collection that is gone --------------------------------------------------------------------------------------------


@pytest.fixture
def gone(platform: Sandbox, context: OperationContext, backup: Manifest) -> Iterator[None]:
    """Somebody has deleted the collection; afterwards it is there again."""
    delete(platform, COLLECTION)
    yield
    if COLLECTION not in context.stores["vectors"].describe().counts:
        restore(context, backup.id, selection=Selection("collection", COLLECTION))


def state_of(platform: Sandbox, service: str) -> str:
    return next(status.state for status in platform.runtime.status() if status.service == service)


@pytest.mark.usefixtures("gone")
def test_the_writers_stand_still_while_it_is_put_back(
    platform: Sandbox, context: OperationContext, backup: Manifest
) -> None:
    seen: list[str] = []

    def look() -> None:
        seen.append(state_of(platform, WRITER))

    restore(when(context, "restore vectors", look), backup.id, selection=Selection("collection", COLLECTION))
    assert seen and seen != ["running"]
    assert state_of(platform, WRITER) == "running"


@pytest.mark.usefixtures("gone")
@pytest.mark.parametrize("portable", [False, True])
def test_one_that_another_client_makes_in_its_place_is_left_alone(
    platform: Sandbox, context: OperationContext, backup: Manifest, portable: bool
) -> None:
    selection = Selection("collection", COLLECTION)
    with theirs(platform, COLLECTION) as make, pytest.raises(RestoreFailed, match="somebody else has made"):
        restore(when(context, "restore vectors", make), backup.id, selection=selection, portable=portable)
    assert state_of(platform, WRITER) == "running"
    delete(platform, COLLECTION)


@pytest.mark.usefixtures("gone")
def test_it_finishes_a_restore_that_was_killed_when_the_collection_was_deleted(
    platform: Sandbox, context: OperationContext, backup: Manifest
) -> None:
    selection, file = Selection("collection", COLLECTION), JournalFile(platform.settings)
    journal = file.begin(backup.id, "restore vectors", options=selection.options)
    platform.runtime.stop(WRITER)
    file.update(journal, touched=("vectors",), stopped=(WRITER,))
    with pytest.raises(StoreError, match="may be half restored"):
        take_backup(context, BackupRequest(stores=("vectors",)))
    restore(context, backup.id, selection=selection)
    assert file.read() is None
    assert state_of(platform, WRITER) == "running"
    assert take_backup(context, BackupRequest(stores=("vectors",))).good


# a label --------------------------------------------------------------------------------------------------------------


def test_nodes_that_another_client_makes_meanwhile_stay_and_ours_go(
    platform: Sandbox, context: OperationContext, backup: Manifest
) -> None:
    settings = platform.settings

    def make() -> None:
        cypher(settings, "CREATE (:`Old {0}` {whose: 'theirs'})-[:BESIDE]->(:Theirs {whose: 'theirs'})")

    selection = Selection("label", "Entity", "Old {0}")
    with pytest.raises(RestoreFailed, match="what it had made was removed"):
        restore(when(context, "load nodes", make), backup.id, selection=selection)
    left = cypher(settings, "MATCH (n:`Old {0}`)-[r]->(m) RETURN n.whose AS whose, type(r) AS type, m.whose AS other")
    count = cypher(settings, "MATCH (n:`Old {0}`) RETURN count(n) AS n")
    assert [record.data() for record in left] == [{"whose": "theirs", "type": "BESIDE", "other": "theirs"}]
    assert count[0]["n"] == 1
    cypher(settings, "MATCH (n) WHERE n.whose = 'theirs' DETACH DELETE n")


def test_no_route_of_ours_is_left_on_the_server(platform: Sandbox, context: OperationContext) -> None:
    listed = qdrant(platform.settings, "GET", "/collections")["collections"]
    assert [entry["name"] for entry in listed if "__archon_trial_" in entry["name"]] == []
    answer = httpx.get(f"{platform.settings.qdrant_url}{at(COLLECTION, 'snapshots')}", timeout=30)
    assert answer.json()["result"] == []
