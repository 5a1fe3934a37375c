"""Restores that go elsewhere, or concern one part: two platforms of real servers side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import neo4j
import pytest
from typer.testing import CliRunner

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.backup.checks import counts_of
from archon_dagster.cli.main import app
from archon_dagster.context import OperationContext, Step, open_context
from archon_dagster.errors import Cancelled, ConfigurationError, RestoreFailed, StoreError
from archon_dagster.platform.settings import Settings
from archon_dagster.repository.manifest import Fingerprint, Manifest
from archon_dagster.restore.journal import JournalFile
from archon_dagster.restore.plan import make_plan
from archon_dagster.restore.restore import RestoreRequest, RestoreResult, restore_backup
from archon_dagster.restore.selection import Selection, selection_of
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster.sandbox.seed import seed
from archon_dagster.stores.base import StoreName
from archon_dagster_tests.platforms import running_platform

pytestmark = [pytest.mark.sandbox, pytest.mark.long, pytest.mark.timeout(400)]

SERVERS: tuple[StoreName, ...] = ("vectors", "graph", "relational")
COLLECTION, TABLE = "code_generation_patterns", "public.archon_tasks"


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The platform that is backed up."""
    with running_platform(tmp_path_factory.mktemp("first")) as sandbox:
        seed(sandbox.settings, sandbox.runtime, limit=12, max_points=60)
        yield sandbox


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Another one, on ports of its own, with data of its own."""
    with running_platform(tmp_path_factory.mktemp("second")) as sandbox:
        seed(sandbox.settings, sandbox.runtime, limit=4, max_points=20)
        yield sandbox


@pytest.fixture(scope="module")
def backup(first: Sandbox) -> Manifest:
    result = take_backup(open_context(first.settings), BackupRequest())
    assert result.good
    return result.manifest


@pytest.fixture
def context(first: Sandbox, backup: Manifest) -> OperationContext:
    return open_context(first.settings)


def fingerprints(settings: Settings) -> dict[StoreName, Fingerprint]:
    return open_context(settings).fingerprints(SERVERS)


def instances(sandbox: Sandbox) -> dict[str, tuple[str, str]]:
    return {status.service: (status.state, status.instance) for status in sandbox.runtime.status()}


def restore(context: OperationContext, backup: str, **options: Any) -> RestoreResult:
    return restore_backup(context, RestoreRequest(backup, "RESTORE", **options))


def sql(sandbox: Sandbox, statement: str) -> str:
    with sandbox.runtime.exec("postgres", ["psql", "-qXAt", "-v", "ON_ERROR_STOP=1", "-c", statement]) as command:
        command.stdin.close()
        answer = command.stdout.read().decode()
        assert command.wait(30) == 0, command.stderr_tail()
    return answer.strip()


def cypher(settings: Settings, query: str) -> list[neo4j.Record]:
    login = (settings.memgraph_user, settings.memgraph_password.get_secret_value())
    with neo4j.GraphDatabase.driver(settings.memgraph_uri, auth=login if any(login) else None) as driver:
        return driver.execute_query(query, database_=settings.memgraph_database).records


def qdrant(settings: Settings, method: str, path: str, body: Any = None) -> Any:
    answer = httpx.request(method, f"{settings.qdrant_url}{path}", json=body, timeout=30)
    return answer.raise_for_status().json()["result"]


# another platform ----------------------------------------------------------------------------------------------------


def test_a_second_platform_becomes_the_first_which_is_left_alone_and_can_be_taken_back(
    first: Sandbox, second: Sandbox, context: OperationContext, backup: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the environment of the control plane is that of the first platform, and must not reach into the second
    monkeypatch.setenv("ARCHON_HOME", str(first.home))
    monkeypatch.setenv("QDRANT_URL", first.settings.qdrant_url)
    monkeypatch.setenv("POSTGRES_PORT", str(first.settings.postgres_port))
    before, running, there = fingerprints(first.settings), instances(first), fingerprints(second.settings)
    environment = second.env_file.read_bytes()

    result = restore(context, backup.id, target=str(second.home))

    assert fingerprints(second.settings) == {name: backup.fingerprint(name) for name in SERVERS}
    assert fingerprints(first.settings) == before
    assert instances(first) == running
    assert second.env_file.read_bytes() == environment
    assert all(state == "running" for state, _ in instances(second).values())
    assert JournalFile(second.settings).read() is None
    assert any(note.startswith("configuration left out") for note in result.notes)
    assert result.safety is not None
    assert result.safety.kind == "safety"
    assert str(second.home) in result.safety.note
    assert context.repository.resolve("latest").id == backup.id
    assert result.undo is not None
    assert result.undo.endswith(f"--target {second.home}")

    restore(context, result.safety.id, target=str(second.home))
    assert fingerprints(second.settings) == there
    assert fingerprints(first.settings) == before


def test_a_failure_there_is_put_back_there(
    first: Sandbox, second: Sandbox, context: OperationContext, backup: Manifest
) -> None:
    there, here = fingerprints(second.settings), fingerprints(first.settings)

    def cancel_late(news: object) -> None:
        if isinstance(news, Step) and news.name == "restore relational":
            context.cancel.set()

    with pytest.raises(Cancelled, match=r"put back from safety backup .* identical"):
        restore(replace(context, report=cancel_late), backup.id, target=str(second.home))
    assert fingerprints(second.settings) == there
    assert fingerprints(first.settings) == here
    assert JournalFile(second.settings).read() is None


def test_addresses_in_a_file_are_enough_and_only_these_are_restored(
    second: Sandbox, context: OperationContext, backup: Manifest, tmp_path: Path
) -> None:
    settings = second.settings
    password = settings.memgraph_password.get_secret_value()
    file = tmp_path / "elsewhere.env"
    file.write_text(
        f"QDRANT_URL={settings.qdrant_url}\nMEMGRAPH_URI={settings.memgraph_uri}\n"
        f"MEMGRAPH_USER={settings.memgraph_user}\nMEMGRAPH_PASSWORD={password}\n"
    )
    relational = fingerprints(settings)["relational"]
    result = restore(context, backup.id, target=str(file))
    assert result.stores == ("vectors", "graph")
    assert any("relational left out" in note and "POSTGRES_DSN" in note for note in result.notes)
    found = fingerprints(settings)
    assert found == {
        "vectors": backup.fingerprint("vectors"), "graph": backup.fingerprint("graph"), "relational": relational,
    }  # fmt: skip
    with pytest.raises(ConfigurationError, match=r"no place for the relational"):
        restore(context, backup.id, target=str(file), only=("relational",))


def test_a_target_that_is_this_platform_is_recognised(
    first: Sandbox, context: OperationContext, backup: Manifest
) -> None:
    plan = make_plan(context, backup.id, ("graph",), target=str(first.home))
    assert plan.target == ""
    assert any("ordinary restore" in note for note in plan.notes)


def test_a_target_that_is_ours_in_part_is_refused(
    first: Sandbox, second: Sandbox, context: OperationContext, backup: Manifest, tmp_path: Path
) -> None:
    file = tmp_path / "mixed.env"
    file.write_text(f"QDRANT_URL={second.settings.qdrant_url}\nMEMGRAPH_URI={first.settings.memgraph_uri}\n")
    with pytest.raises(ConfigurationError, match=r"graph of this very platform"):
        restore(context, backup.id, target=str(file), only=("vectors",))


# one collection ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("portable", [False, True])
def test_a_collection_under_a_new_name_stands_beside_the_old_one(
    first: Sandbox, context: OperationContext, backup: Manifest, portable: bool
) -> None:
    before, running = fingerprints(first.settings), instances(first)
    safeties = len(context.repository.backups())
    result = restore(
        context, backup.id, portable=portable, selection=Selection("collection", COLLECTION, "patterns then")
    )
    try:
        found = fingerprints(first.settings)["vectors"].parts
        assert {name: part for name, part in found.items() if not name.startswith("patterns then/")} == before[
            "vectors"
        ].parts
        assert found["patterns then/points"] == found[f"{COLLECTION}/points"]
        assert result.safety is None
        assert result.undo is None
        assert instances(first) == running
        assert len(context.repository.backups()) == safeties
        with pytest.raises(StoreError, match="there is a collection patterns then already"):
            restore(context, backup.id, selection=Selection("collection", COLLECTION, "patterns then"))
        assert fingerprints(first.settings)["vectors"].parts == found
    finally:
        qdrant(first.settings, "DELETE", "/collections/patterns%20then")
    assert fingerprints(first.settings) == before


def test_a_collection_is_replaced_and_its_aliases_come_back_with_it(
    first: Sandbox, context: OperationContext, backup: Manifest
) -> None:
    before = fingerprints(first.settings)
    points = qdrant(first.settings, "POST", f"/collections/{COLLECTION}/points/scroll", {"limit": 5})["points"]
    ids = {"points": [point["id"] for point in points]}
    qdrant(first.settings, "POST", f"/collections/{COLLECTION}/points/delete?wait=true", ids)
    damaged = fingerprints(first.settings)
    result = restore(context, backup.id, selection=Selection("collection", COLLECTION))
    assert fingerprints(first.settings) == before
    assert result.safety is not None
    assert {artifact.counts.get("archon_vectors") for artifact in result.safety.artifacts} == {None}
    assert result.undo is not None
    assert result.undo.endswith(f"--collection {COLLECTION}")
    with pytest.raises(ConfigurationError, match=f"holds only the collection {COLLECTION}"):
        restore(context, result.safety.id)
    restore(context, result.safety.id, selection=Selection("collection", COLLECTION))
    assert fingerprints(first.settings) == damaged
    restore(context, backup.id, selection=Selection("collection", COLLECTION))


def test_what_was_added_is_removed_again_when_the_restore_is_cancelled(
    first: Sandbox, context: OperationContext, backup: Manifest
) -> None:
    before = fingerprints(first.settings)
    for selection in (
        Selection("collection", "archon_vectors", "later"),
        Selection("label", "Entity", "Later"),
        Selection("table", TABLE, "later"),
    ):
        stop = threading.Event()

        def cancel_at_the_end(news: object, stop: threading.Event = stop) -> None:
            if isinstance(news, Step) and news.name == "compare fingerprints":
                stop.set()

        with pytest.raises(Cancelled, match="the rest is as it was"):
            restore(replace(context, cancel=stop, report=cancel_at_the_end), backup.id, selection=selection)
        assert fingerprints(first.settings) == before, selection


# one table -----------------------------------------------------------------------------------------------------------


def test_a_table_under_a_new_name_has_its_rows_indexes_and_a_sequence_of_its_own(
    first: Sandbox, context: OperationContext
) -> None:
    sql(
        first,
        'CREATE TYPE mood AS ENUM (\'calm\', \'cross\'); CREATE TABLE "Odd ""Names""" (id bigserial PRIMARY KEY, '
        "feels mood DEFAULT 'calm', task uuid REFERENCES archon_tasks(id), "
        "note text UNIQUE CHECK (note <> ''), half numeric GENERATED ALWAYS AS (1.0) STORED); "
        'INSERT INTO "Odd ""Names""" (note) SELECT \'n\' || i FROM generate_series(1, 20) i;',
    )
    made = take_backup(context, BackupRequest(stores=("relational",))).manifest
    before = fingerprints(first.settings)["relational"].parts
    try:
        restore(context, made.id, selection=Selection("table", 'public."Odd ""Names"""', "kept"))
        found = fingerprints(first.settings)["relational"].parts
        assert found["table public.kept"] == found['table public.Odd "Names"']
        assert {k: v for k, v in before.items() if k.startswith("table ")}.items() <= found.items()
        sql(first, "INSERT INTO kept (note) VALUES ('the sequence goes on')")
        assert sql(first, "SELECT max(id) FROM kept") == "21"
        assert sql(first, 'SELECT max(id) FROM "Odd ""Names"""') == "20"
        shape = "SELECT count(*) FROM pg_constraint WHERE conrelid = 'kept'::regclass AND contype IN ('p', 'u', 'c')"
        assert sql(first, shape) == "3"
        assert sql(first, "SELECT count(*) FROM pg_database WHERE datname LIKE '%restore%'") == "0"
        with pytest.raises(StoreError, match=r"there is a public\.kept already"):
            restore(context, made.id, selection=Selection("table", 'public."Odd ""Names"""', "kept"))
    finally:
        sql(first, 'DROP TABLE IF EXISTS kept; DROP TABLE "Odd ""Names"""; DROP TYPE mood')


def test_only_the_rows_of_a_table_are_replaced_and_triggers_and_keys_stay(
    first: Sandbox, context: OperationContext, backup: Manifest
) -> None:
    before = fingerprints(first.settings)["relational"]
    sql(first, f"UPDATE {TABLE} SET title = 'changed since'; ALTER TABLE archon_prompts ADD COLUMN since int")
    changed = fingerprints(first.settings)["relational"]
    try:
        result = restore(context, backup.id, selection=Selection("table", "archon_tasks"))
        found = fingerprints(first.settings)["relational"]
        assert found.parts == changed.parts | {f"table {TABLE}": before.parts[f"table {TABLE}"]}
        assert result.safety is not None
        restore(context, result.safety.id, selection=Selection("table", TABLE))
        assert fingerprints(first.settings)["relational"] == changed
        with pytest.raises(ConfigurationError, match=rf"holds only the table {TABLE}[\s\S]*--table {TABLE}"):
            restore(context, result.safety.id)
        with pytest.raises(RestoreFailed, match="put back"):  # it has another column now
            restore(context, backup.id, selection=Selection("table", "archon_prompts"))
        assert fingerprints(first.settings)["relational"] == changed
    finally:
        sql(first, "ALTER TABLE archon_prompts DROP COLUMN since")
        restore(context, backup.id, selection=Selection("table", TABLE))
    assert fingerprints(first.settings)["relational"] == before


def test_rows_that_others_point_at_are_not_taken_away_from_under_them(
    first: Sandbox, context: OperationContext, backup: Manifest
) -> None:
    sql(
        first,
        "WITH new AS (INSERT INTO archon_projects (title, created_at, updated_at) VALUES ('new since', now(), now()) "
        "RETURNING id) INSERT INTO archon_tasks (project_id, title, created_at) SELECT id, 'new since', now() FROM new",
    )
    changed = fingerprints(first.settings)["relational"]
    try:
        with pytest.raises(RestoreFailed, match=r"(?s)put back.*foreign key"):
            restore(context, backup.id, selection=Selection("table", "archon_projects"))
        assert fingerprints(first.settings)["relational"] == changed
    finally:
        sql(first, "DELETE FROM archon_projects WHERE title = 'new since'")


def test_a_table_that_was_dropped_comes_back(first: Sandbox, context: OperationContext, backup: Manifest) -> None:
    rows = fingerprints(first.settings)["relational"].parts["table public.archon_prompts"]
    sql(first, "DROP TABLE archon_prompts")
    result = restore(context, backup.id, selection=Selection("table", "archon_prompts"))
    assert fingerprints(first.settings)["relational"].parts["table public.archon_prompts"] == rows
    assert result.safety is None
    restore(context, backup.id, only=("relational",))  # its privileges and triggers come with the whole


# one label -----------------------------------------------------------------------------------------------------------


def test_a_label_under_a_new_name_has_its_nodes_and_what_is_between_them(
    first: Sandbox, context: OperationContext, backup: Manifest
) -> None:
    before = fingerprints(first.settings)["graph"].parts
    result = restore(context, backup.id, selection=Selection("label", "Entity", "Old `Entity` {1}"))
    try:
        count = "MATCH (n:{0}) RETURN count(n) AS n"
        between = "MATCH (:{0})-[r]->(:{0}) RETURN type(r) AS t, count(r) AS n ORDER BY t"
        new, old = "`Old ``Entity`` {1}`", "Entity"
        for query in (count, between):
            assert [r.data() for r in cypher(first.settings, query.replace("{0}", new))] == [
                r.data() for r in cypher(first.settings, query.replace("{0}", old))
            ]
        assert any("relationships to and from nodes without the label are left out" in w for w in result.warnings)
        with pytest.raises(StoreError, match="nodes have the label Entity already"):
            restore(context, backup.id, selection=Selection("label", "Entity"))
    finally:
        cypher(first.settings, "MATCH (n:`Old ``Entity`` {1}`) DETACH DELETE n")
    assert fingerprints(first.settings)["graph"].parts == before


# plan, command line, job ---------------------------------------------------------------------------------------------


@pytest.fixture
def archon(first: Sandbox, backup: Manifest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """``archon``, as it would be typed on the first platform."""
    monkeypatch.setenv("ARCHON_HOME", str(first.home))
    monkeypatch.setenv("COLUMNS", "200")

    def typed(*words: str) -> str:
        result = CliRunner().invoke(app, list(words), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    return typed


def test_the_plan_tells_what_is_lost_what_stays_and_how_long_it_takes(
    first: Sandbox, second: Sandbox, context: OperationContext, backup: Manifest, archon: Callable[..., str]
) -> None:
    restore(context, backup.id, only=("relational",))
    into = make_plan(context, backup.id, ("relational",), target=str(second.home))
    assert into.estimate is not None
    assert into.estimate > 0
    assert into.stops
    beside = make_plan(context, backup.id, selection=selection_of(collection=COLLECTION, new_name="beside"))
    assert (beside.adds, beside.fewer, beside.stops) == (True, 0, ())
    kept = counts_of(backup, "vectors")[COLLECTION]
    assert [(c.part, c.now, c.after) for c in beside.changes] == [("beside", None, kept)]
    table = make_plan(context, backup.id, selection=selection_of(table="archon_tasks"))
    (change,) = table.changes
    assert (change.part, change.effect) == (TABLE, "is replaced")
    assert "everything else of the relational" in table.untouched
    text = archon("restore", backup.id, "--plan", "--label", "File", "--target", str(second.home))
    assert "relationships to and from nodes without the label" in text
    assert f"--target {second.home}" in text
    assert "--label File" in text


def test_the_job_takes_the_same_options(first: Sandbox, backup: Manifest, archon: Callable[..., str]) -> None:
    before = fingerprints(first.settings)["relational"].parts[f"table {TABLE}"]
    try:
        text = archon("restore", backup.id, "--confirm", "RESTORE", "--table", "archon_tasks", "--as", "by_job")
        assert "table archon_tasks as by_job restored" in text
        assert "undo" not in text
        assert fingerprints(first.settings)["relational"].parts["table public.by_job"] == before
    finally:
        sql(first, "DROP TABLE IF EXISTS by_job")


def test_a_job_into_another_platform_says_how_to_take_it_back(
    first: Sandbox, second: Sandbox, backup: Manifest, archon: Callable[..., str]
) -> None:
    here = fingerprints(first.settings)
    words = ("restore", backup.id, "--confirm", "RESTORE", "--only", "relational", "--target", str(second.home))
    text = archon(*words)
    assert fingerprints(second.settings)["relational"] == backup.fingerprint("relational")
    assert fingerprints(first.settings) == here
    (undo,) = [line for line in text.splitlines() if line.startswith("undo: archon ")]
    assert undo.endswith(f"--target {second.home}")
    assert str(second.home) in archon(*undo.removeprefix("undo: archon ").split())
