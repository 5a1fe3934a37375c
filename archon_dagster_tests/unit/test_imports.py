"""Backups of the runbook's script: what each part is good for is said, and what is whole becomes a backup."""

from __future__ import annotations

import io
import json
import os
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from archon_dagster.cli.planned import show_plan
from archon_dagster.context import OperationContext
from archon_dagster.errors import BackupNotFound, ConfigurationError, DamagedBackup, RepositoryBusy
from archon_dagster.platform.settings import load_settings
from archon_dagster.repository.repository import Repository
from archon_dagster.restore import measured
from archon_dagster.restore.imports.importing import ImportRequest, ImportResult, import_backup, preview, with_lines
from archon_dagster.restore.imports.parts import Part, inspect, made_at
from archon_dagster.restore.plan import Foreign, make_plan
from archon_dagster.restore.request import RestoreResult
from archon_dagster.stores.base import Work
from archon_dagster.stores.configuration.store import ConfigurationStore
from archon_dagster.stores.graph.dump.unwrapping import statements
from archon_dagster.stores.graph.store import GraphStore
from archon_dagster_tests.unit.dump_printer import table_of
from archon_dagster_tests.unit.memgraph_double import DATA, MemgraphDouble
from archon_dagster_tests.unit.platform_double import SwitchRuntime

EVERY_TYPE = DATA / "every-type.dump.cypher"
MADE = "2026-11-20T03:00:00Z"


def archive(path: Path, *, cut: int | None = None) -> None:
    """What ``tar czf - storage/`` makes of a running Qdrant."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in ("raft_state.json", "collections/archon_vectors/config.json",
                     "collections/archon_vectors/0/wal/open-1", "collections/quality/config.json"):  # fmt: skip
            member = tarfile.TarInfo(f"storage/{name}")
            member.size = 20_000
            tar.addfile(member, io.BytesIO(os.urandom(20_000)))
    path.write_bytes(packed.getvalue()[:cut])


@pytest.fixture
def runbook(tmp_path: Path) -> Path:
    """A directory as ``daily-backup.sh`` leaves it when everything went as well as it can."""
    folder = tmp_path / "20261120"
    folder.mkdir()
    (folder / "memgraph.cypher").write_text(table_of([s.text for s in statements(EVERY_TYPE)]), newline="\n")
    archive(folder / "qdrant.tar.gz")
    (folder / ".env").write_text("LOG_LEVEL=INFO\nSERVICE_AUTH_TOKEN=hush\n")
    (folder / "docker-compose.yml").write_text("services: {}\n")
    services = {"qdrant": "unknown", "memgraph": "unknown"}
    (folder / "metadata.json").write_text(json.dumps({"backup_date": MADE, "version": "x", "services": services}))
    return folder


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(scratch=tmp_path)


@pytest.fixture
def context(tmp_path: Path) -> OperationContext:
    settings = load_settings(ARCHON_HOME=tmp_path / "home", ARCHON_RUNTIME="processes")
    project = tmp_path / "project"
    project.mkdir()
    stores = {
        "graph": GraphStore("bolt://127.0.0.1:7687", driver=MemgraphDouble().open),
        "configuration": ConfigurationStore(project),
    }
    repository = Repository.open(settings.repository, create=True)
    return OperationContext(settings, SwitchRuntime(), stores, repository)  # type: ignore[arg-type]


def states(parts: list[Part]) -> dict[str, str]:
    return {part.name: part.state for part in parts}


def detail(parts: list[Part], name: str) -> str:
    return next(part.detail for part in parts if part.name == name)


# inspecting ----------------------------------------------------------------------------------------------------------


def test_each_part_of_a_runbook_backup_is_judged(runbook: Path, work: Work) -> None:
    parts = inspect(runbook, work)
    assert states(parts) == {
        "memgraph.cypher": "importable", "qdrant.tar.gz": "by hand", "configuration": "importable",
        "PostgreSQL": "missing", "metadata.json": "note",
    }  # fmt: skip
    assert "91 nodes, 6 relationships, as mgconsole's table" in detail(parts, "memgraph.cypher")
    assert "archon_vectors, quality" in detail(parts, "qdrant.tar.gz")
    assert "not a snapshot" in detail(parts, "qdrant.tar.gz")
    assert "never worked" in detail(parts, "metadata.json")


def test_empty_files_of_failed_commands_are_unusable_and_said_to_be(runbook: Path, work: Work) -> None:
    for name in ("memgraph.cypher", "qdrant.tar.gz", "metadata.json"):
        (runbook / name).write_bytes(b"")
    parts = inspect(runbook, work)
    assert [part.name for part in parts if part.state == "unusable"] == [
        "memgraph.cypher", "qdrant.tar.gz", "metadata.json",
    ]  # fmt: skip
    assert "is empty" in detail(parts, "memgraph.cypher") and "is empty" in detail(parts, "qdrant.tar.gz")


@pytest.mark.parametrize("cut", [1, 1000, 30_000, -9])
def test_a_truncated_archive_is_unusable(runbook: Path, work: Work, cut: int) -> None:
    archive(runbook / "qdrant.tar.gz", cut=cut)
    (part,) = [part for part in inspect(runbook, work) if part.store == "vectors"]
    assert part.state == "unusable" and "breaks off" in part.detail


def test_what_is_missing_is_named(tmp_path: Path, work: Work) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert set(states(inspect(empty, work)).values()) == {"missing"}


def test_the_runbooks_broken_json_is_named(runbook: Path, work: Work) -> None:
    (runbook / "metadata.json").write_text('{"version": "say "hi""}')
    assert states(inspect(runbook, work))["metadata.json"] == "unusable"


def test_a_path_that_is_not_there_is_wrong_usage(tmp_path: Path, work: Work) -> None:
    with pytest.raises(ConfigurationError):
        inspect(tmp_path / "nothing", work)


def test_when_it_was_made_comes_from_the_metadata_or_the_files(runbook: Path) -> None:
    assert made_at(runbook) == datetime(2026, 11, 20, 3, tzinfo=UTC)
    (runbook / "metadata.json").write_text("{}")
    for file in runbook.iterdir():
        os.utime(file, (1_000_000_000, 1_000_000_000))
    assert made_at(runbook) == datetime.fromtimestamp(1_000_000_000, UTC)


# importing -----------------------------------------------------------------------------------------------------------


def imported(context: OperationContext, path: Path, **options: object) -> ImportResult:
    return import_backup(context, ImportRequest(path, **options))  # type: ignore[arg-type]


def test_what_is_whole_becomes_one_backup_that_says_what_it_lacks(context: OperationContext, runbook: Path) -> None:
    manifest = imported(context, runbook).manifest
    assert {(artifact.store, artifact.name) for artifact in manifest.artifacts} == {
        ("graph", "memgraph/graph"), ("configuration", "platform/configuration"),
    }  # fmt: skip
    assert (manifest.stores, manifest.kind) == (("graph", "configuration"), "imported")
    assert manifest.note == f"imported from {runbook}"
    assert (manifest.window.start, manifest.window.consistent) == (datetime(2026, 11, 20, 3, tzinfo=UTC), False)
    said = "\n".join(manifest.not_covered)
    assert "qdrant.tar.gz is by hand" in said and "PostgreSQL is missing" in said and "SERVICE_AUTH_TOKEN" in said


def test_an_imported_backup_is_whole_and_verified_but_never_latest(context: OperationContext, runbook: Path) -> None:
    manifest = imported(context, runbook).manifest
    assert context.repository.resolve(manifest.id).id == manifest.id
    checks = {check.name: check.passed for check in context.repository.checks(manifest.id)}
    assert checks["digests"] and checks["readable"] and checks["checks_finished"]
    with pytest.raises(BackupNotFound, match="no backup qualifies as latest"):
        context.repository.resolve("latest", stores=["graph"])


def test_a_dump_alone_is_imported(context: OperationContext) -> None:
    result = imported(context, EVERY_TYPE)
    assert result.manifest.stores == ("graph",)
    assert result.dump is not None and result.dump.nodes == 91


def test_only_the_named_part_is_imported(context: OperationContext, runbook: Path) -> None:
    assert imported(context, runbook, only=("configuration",)).manifest.stores == ("configuration",)


def test_a_part_that_was_asked_for_and_is_unusable_imports_nothing(context: OperationContext, runbook: Path) -> None:
    (runbook / "memgraph.cypher").write_bytes(b"")
    with pytest.raises(DamagedBackup, match=r"memgraph\.cypher: the file is empty"):
        imported(context, runbook, only=("graph", "configuration"))
    with pytest.raises(DamagedBackup, match="not a snapshot"):
        imported(context, runbook, only=("vectors",))
    assert context.repository.backups() == []


def test_a_dump_that_breaks_leaves_no_backup(context: OperationContext, tmp_path: Path) -> None:
    path = tmp_path / "bad.cypher"
    path.write_text(
        'CREATE (:__mg_vertex__ {__mg_id__: 0, `p`: NOW("x")});\nMATCH (u) REMOVE u:__mg_vertex__, u.__mg_id__;'
    )
    with pytest.raises(DamagedBackup, match="line 1"):
        imported(context, path)
    assert context.repository.backups() == []


def test_an_import_waits_for_nobody(context: OperationContext) -> None:
    with context.repository.lock("test"), pytest.raises(RepositoryBusy):
        imported(context, EVERY_TYPE)


def test_warnings_of_a_restore_name_the_line_of_the_dump(context: OperationContext) -> None:
    report = imported(context, EVERY_TYPE).dump
    assert report is not None
    said = with_lines(["graph: trigger t3 is not restored: x has nothing like it", "graph: something else"], report)
    assert said == [
        "line 119: graph: trigger t3 is not restored: x has nothing like it", "graph: something else",
    ]  # fmt: skip


# planning ------------------------------------------------------------------------------------------------------------


def everything_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_preview_says_what_an_import_would_make_and_writes_nothing(context: OperationContext, runbook: Path) -> None:
    before = everything_below(context.settings.home)
    seen = preview(context, ImportRequest(runbook))
    assert everything_below(context.settings.home) == before
    made = import_backup(context, ImportRequest(runbook))
    assert [(a.name, a.size, a.sha256, a.counts) for a in seen.manifest.artifacts] == [
        (a.name, a.size, a.sha256, a.counts) for a in made.manifest.artifacts
    ]
    assert seen.manifest.fingerprint("graph") == made.manifest.fingerprint("graph")
    assert (seen.manifest.stores, seen.manifest.window, seen.manifest.not_covered) == (
        made.manifest.stores, made.manifest.window, made.manifest.not_covered,
    )  # fmt: skip
    assert (seen.parts, seen.dump) == (made.parts, made.dump)


def test_a_preview_fails_where_the_import_would(context: OperationContext, tmp_path: Path) -> None:
    cut = tmp_path / "cut.cypher"
    cut.write_bytes(EVERY_TYPE.read_bytes()[:-200])
    with pytest.raises(DamagedBackup):
        preview(context, ImportRequest(cut))


def test_a_plan_of_a_dump_is_about_the_dump(context: OperationContext) -> None:
    found = preview(context, ImportRequest(EVERY_TYPE))
    foreign = Foreign(EVERY_TYPE, found.manifest, f"--from-dump {EVERY_TYPE}")
    plan = make_plan(context, "", foreign=foreign)
    assert plan.stores == ("graph",) and plan.dump == str(EVERY_TYPE)
    assert plan.command == f"archon restore --from-dump {EVERY_TYPE} --confirm RESTORE"
    assert {change.part: change.after for change in plan.changes}["nodes"] == 91


def test_how_long_a_dump_takes_is_told_by_its_size_and_not_by_the_last_backup(context: OperationContext) -> None:
    made = import_backup(context, ImportRequest(EVERY_TYPE)).manifest
    size = made.artifacts[0].size
    result = RestoreResult(made, ("graph",), rto=3600.0, seconds={"restore graph": 2.0}, moved={"graph": size * 4})
    measured.record(context.repository, result)
    found = preview(context, ImportRequest(EVERY_TYPE))
    plan = make_plan(context, "", foreign=Foreign(EVERY_TYPE, found.manifest, ""))
    assert plan.estimate == pytest.approx(0.5, rel=0.01)
    assert make_plan(context, made.id).estimate == 3600.0


def test_what_a_dump_loses_is_what_is_not_in_it(context: OperationContext, capsys: pytest.CaptureFixture[str]) -> None:
    """The age of a dump says nothing: it may be of another platform."""
    found = preview(context, ImportRequest(EVERY_TYPE))
    show_plan(make_plan(context, "", foreign=Foreign(EVERY_TYPE, found.manifest, "")), as_json=False)
    said = " ".join(capsys.readouterr().out.split())
    assert "lost: all that is there now and not in the dump" in said and "in the last" not in said
