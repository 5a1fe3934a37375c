"""`archon backups import`, `archon backups inspect` and `archon restore --from-dump` as a user types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from archon_dagster.repository.repository import Repository
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster.stores.base import Work
from archon_dagster.stores.graph.store import open_graph

pytestmark = [pytest.mark.sandbox, pytest.mark.long, pytest.mark.timeout(300)]

DATA = Path(__file__).parents[1] / "data" / "memgraph"
EDGES = DATA / "upstream-dumps" / "v24_edges_snapshot.cypher"
EVERY_TYPE = DATA / "v3.2.1" / "every-type.dump.cypher"
SMALL = """CREATE (:__mg_vertex__:`File` {__mg_id__: 0, `name`: "a;b"});
CREATE (:__mg_vertex__:`File` {__mg_id__: 1, `size`: 1e+17});
CREATE INDEX ON :__mg_vertex__(__mg_id__);
MATCH (u:__mg_vertex__), (v:__mg_vertex__) WHERE u.__mg_id__ = 0 AND v.__mg_id__ = 1 CREATE (u)-[:`IMPORTS`]->(v);
DROP INDEX ON :__mg_vertex__(__mg_id__);
MATCH (u) REMOVE u:__mg_vertex__, u.__mg_id__;
CREATE INDEX ON :`File`(`name`);
"""


def archon(home: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ARCHON_HOME": str(home)}
    command = [sys.executable, "-m", "archon_dagster.cli", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done


def as_json(home: Path, *words: str) -> Any:
    return json.loads(archon(home, *words, "--json").stdout)


def test_a_foreign_backup_is_inspected_without_any_platform(tmp_path: Path) -> None:
    parts = as_json(tmp_path / "nothing", "backups", "inspect", str(EDGES))
    assert [(part["store"], part["state"]) for part in parts] == [("graph", "importable")]


def test_a_restore_from_a_dump_that_is_not_confirmed_imports_nothing(clean_sandbox: Sandbox) -> None:
    home = clean_sandbox.home
    as_json(home, "backups", "import", str(EDGES))
    before = len(as_json(home, "backups"))
    said = archon(home, "restore", "--from-dump", str(EDGES), code=2).stderr
    assert "was not confirmed" in said and "--from-dump" in said
    assert len(as_json(home, "backups")) == before


@pytest.mark.parametrize("words", [(), ("latest", "--from-dump", "x.cypher")])
def test_one_backup_or_one_dump_has_to_be_named(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert "which backup?" in archon(tmp_path, "restore", *words, "--confirm", "RESTORE", code=2).stderr


def test_what_cannot_be_imported_is_a_damaged_backup(clean_sandbox: Sandbox, tmp_path: Path) -> None:
    broken = tmp_path / "broken.cypher"
    broken.write_bytes(EDGES.read_bytes()[:1000])
    said = archon(clean_sandbox.home, "backups", "import", str(broken), code=4).stderr
    assert "the file ends inside the statement on line" in said


def test_a_dump_is_imported_and_restored_with_a_way_back(clean_sandbox: Sandbox, tmp_path: Path) -> None:
    home, settings = clean_sandbox.home, clean_sandbox.settings
    small = tmp_path / "small.cypher"
    small.write_text(SMALL)
    result = as_json(home, "restore", "--from-dump", str(small), "--confirm", "RESTORE", "--direct")
    repository = Repository.open(settings.repository)
    manifest = repository.resolve(result["backup"]["id"])
    assert manifest.note == f"imported from {small}"
    promised = manifest.fingerprint("graph")
    assert promised is not None
    assert promised.differences(open_graph(settings).fingerprint(Work(scratch=tmp_path))) == []
    archon(home, "restore", result["safety"]["id"], "--confirm", "RESTORE", "--direct")
    assert open_graph(settings).describe().counts["nodes"] == 0


def test_a_plan_of_a_dump_changes_nothing(clean_sandbox: Sandbox) -> None:
    repository = Path(clean_sandbox.settings.repository)
    before = sorted(repository.rglob("*"))
    plan = as_json(clean_sandbox.home, "restore", "--from-dump", str(EDGES), "--plan")
    assert (plan["stores"], plan["dump"]) == (["graph"], str(EDGES))
    assert plan["command"] == f"archon restore --from-dump {EDGES} --confirm RESTORE"
    assert sorted(repository.rglob("*")) == before, "a plan imports nothing, and makes no repository"
    assert open_graph(clean_sandbox.settings).describe().counts["nodes"] == 0


def test_what_the_server_cannot_keep_is_listed_with_its_lines(clean_sandbox: Sandbox) -> None:
    done = archon(clean_sandbox.home, "restore", "--from-dump", str(EVERY_TYPE), "--plan", "--skip")
    assert "not applied: line 34: " in done.stderr and "cannot keep the map in property 'v'" in done.stderr
