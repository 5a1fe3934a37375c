"""Dumps of real Memgraph servers, loaded into the sandbox's graph: in batches, and through the ordinary restore."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from archon_dagster.context import OperationContext, open_context
from archon_dagster.errors import StoreError
from archon_dagster.repository.manifest import Fingerprint
from archon_dagster.restore.imports.importing import ImportRequest, import_backup, with_lines
from archon_dagster.restore.restore import RestoreRequest, RestoreResult, restore_backup
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster.stores.base import Work
from archon_dagster.stores.graph.dump.fitting import fitting
from archon_dagster.stores.graph.dump.importing import import_dump
from archon_dagster.stores.graph.store import open_graph
from archon_dagster_tests.artifacts import MemorySink
from archon_dagster_tests.integration.conftest import clean
from archon_dagster_tests.recorded import larger

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(300)]

DATA = Path(__file__).parents[1] / "data" / "memgraph"
EVERY_TYPE = DATA / "v3.2.1" / "every-type.dump.cypher"
DUMPS = {path.read_bytes(): path for path in [*sorted(DATA.glob("upstream-dumps/*.cypher")), EVERY_TYPE]}


@pytest.fixture
def context(sandbox: Sandbox) -> Iterator[OperationContext]:
    clean(sandbox)
    yield open_context(sandbox.settings)
    clean(sandbox)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(scratch=tmp_path)


@pytest.fixture
def archon() -> Path:
    """The dump of an Archon-shaped graph."""
    return larger() / "memgraph/v3.2.1/archon.dump.cypher"


def data_only(fingerprint: Fingerprint | None) -> Fingerprint:
    """Nodes and relationships; what the sandbox's server has no index or constraint for is another test's subject."""
    assert fingerprint is not None
    return Fingerprint(parts={name: part for name, part in fingerprint.parts.items() if name != "schema"})


def for_this_server(path: Path, folder: Path) -> Path:
    """The dump with existence constraints in comments: this server makes text of numbers in such a property."""
    target = folder / path.name
    target.write_text(re.sub(r"^(?=CREATE CONSTRAINT .*EXISTS)", "// ", path.read_text(), flags=re.MULTILINE))
    return target


@pytest.mark.parametrize("path", DUMPS.values(), ids=lambda path: path.stem)
def test_every_recorded_dump_loads_into_a_real_graph(
    context: OperationContext, work: Work, tmp_path: Path, path: Path
) -> None:
    sink = MemorySink()
    with fitting(context.settings, work) as refuses:
        report = import_dump(for_this_server(path, tmp_path), sink, work, skip=True, refuses=refuses)
    store = open_graph(context.settings)
    store.restore(sink.source(), work)
    promised, found = data_only(sink.artifacts[0].fingerprint), data_only(store.fingerprint(work))
    assert promised.differences(found) == []
    assert (store.report.nodes, store.report.relationships) == (report.nodes, report.relationships)
    total = path.read_text().count("CREATE (:__mg_vertex__") + path.read_text().count("]->(v);")
    assert report.nodes + report.relationships + report.left_out == total


def test_what_this_server_cannot_keep_is_refused_as_a_whole_unless_it_is_to_be_left_out(
    context: OperationContext, work: Work
) -> None:
    sink = MemorySink()
    import_dump(EVERY_TYPE, sink, work)
    with pytest.raises(StoreError, match="cannot keep the "):
        open_graph(context.settings).restore(sink.source(), work)
    with fitting(context.settings, work) as refuses:
        report = import_dump(EVERY_TYPE, MemorySink(), work, skip=True, refuses=refuses)
    lines = EVERY_TYPE.read_text().split("\n")
    assert [lines[problem.line - 1][:40] for problem in report.problems] == [p.excerpt[:40] for p in report.problems]
    assert all("cannot keep" in problem.reason or "is not there" in problem.reason for problem in report.problems)
    assert report.left_out == len(report.problems) > 5


def test_an_archon_dump_goes_through_the_ordinary_restore_and_can_be_undone(
    context: OperationContext, archon: Path
) -> None:
    before = graph_of(context)
    imported = import_backup(context, ImportRequest(archon))
    assert imported.dump is not None
    assert (imported.dump.nodes, imported.dump.relationships) == (2024, 5223)
    result = restored(context, imported.manifest.id)
    assert result.safety is not None and result.undo
    assert data_only(result.before["graph"]).differences(data_only(result.after["graph"])) == []
    line = next(n for n, text in enumerate(archon.read_text().splitlines(), 1) if ":`File`(`entity_id`)" in text)
    assert any(said.startswith(f"line {line}: ") for said in with_lines(result.warnings, imported.dump))
    restored(context, result.safety.id)
    assert before.differences(graph_of(context)) == []


def graph_of(context: OperationContext) -> Fingerprint:
    with context.work() as work:
        return context.stores["graph"].fingerprint(work)


def restored(context: OperationContext, backup_id: str) -> RestoreResult:
    return restore_backup(context, RestoreRequest(backup_id, "RESTORE", only=("graph",)))


def test_a_dump_is_loaded_in_batches_and_not_statement_by_statement(
    context: OperationContext, work: Work, archon: Path
) -> None:
    """Every query that goes over the wire is counted; how much faster that is, the benchmarks measure."""
    sink = MemorySink()
    report = import_dump(archon, sink, work)
    with queries_sent() as sent:
        open_graph(context.settings).restore(sink.source(), work)
    assert sent
    assert report.nodes + report.relationships > 20 * len(sent)


@contextmanager
def queries_sent() -> Iterator[list[str]]:
    """What the driver sends as queries meanwhile, by its own protocol log; their parameters are not rendered."""
    sent: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "C: RUN" in record.msg:
                sent.append(record.msg)

    logger, listener = logging.getLogger("neo4j.io"), Listener()
    level = logger.level
    logger.addHandler(listener)
    logger.setLevel(logging.DEBUG)
    try:
        yield sent
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)
