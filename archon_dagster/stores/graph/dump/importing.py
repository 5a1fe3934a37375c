"""Make a graph export of a dump, and say what was in it and what was not.

The export is the one a backup has, so everything that is done with a backup can be done with it: it is verified,
planned with, loaded in batches, compared afterwards, and put back when that fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from archon_dagster.stores.base import ArtifactWriter, Sink, Work
from archon_dagster.stores.graph.dump.model import Form, Problem, Statement, UnreadableDump
from archon_dagster.stores.graph.dump.reading import Outline, Problems, nodes, outline, relationships
from archon_dagster.stores.graph.dump.suspects import Numbers
from archon_dagster.stores.graph.dump.unwrapping import form_of
from archon_dagster.stores.graph.export import ARTIFACT, KIND, LISTED, MEDIA_TYPE
from archon_dagster.stores.graph.fingerprint import GraphDigest, canonical
from archon_dagster.stores.graph.fingerprint import Relationship as Digested
from archon_dagster.stores.graph.idtable import DuplicateId
from archon_dagster.stores.graph.reading import BATCH
from archon_dagster.stores.graph.records import VERSION, Lines, Node, Relationship

SERVER = "memgraph (from a DUMP DATABASE)"
SHOWN = 10  # problems and suspects named in the manifest one by one
_DATA = re.compile(r"(?:OPTIONAL|MATCH|MERGE|UNWIND|FOREACH|DELETE|DETACH|LOAD|CALL|WITH)\b", re.IGNORECASE)
Refuses = Callable[[Node | Relationship], str | None]
"""Why the server that the dump is meant for would not keep a record, if it would not."""

LOST_BY_NATURE = (
    "doubles without a fraction: a dump prints 1.0 as 1, so they come back as integers",
    "the last microsecond of some durations, the order of labels, the line ends of triggers",
    "users, roles, settings, streams, other databases; text indexes on relationships (3.6)",
)


@dataclass(frozen=True)
class DumpReport:
    """What became of a dump.

    :param problems: the first statements that were not applied (:attr:`left_out` tells how many there were).
    :param suspects: whole numbers that probably were doubles, by property.
    :param lines: by schema object, the line it came from: a server that lacks the feature is answered with it.
    """

    path: Path
    form: Form
    statements: int
    nodes: int
    relationships: int
    left_out: int
    problems: tuple[Problem, ...]
    lost: tuple[str, ...]
    suspects: tuple[str, ...]
    lines: dict[str, int]


def import_dump(
    path: Path, sink: Sink, work: Work, *, skip: bool = False, refuses: Refuses | None = None
) -> DumpReport:
    """Write the graph export of a dump into ``sink``.

    :param skip: leave out nodes and relationships that are not understood or that ``refuses`` names, and what hangs on
        them, and report each; otherwise the first of them ends the import.
    :raises UnreadableDump: the file is no dump, was cut off, or says what cannot be applied (with line and reason).
    """
    form, known = form_of(path), outline(path, work)
    with sink.artifact("graph", ARTIFACT, KIND, media_type=MEDIA_TYPE, cut="lines") as out:
        one = _Import(path, known, work, skip, refuses)
        one.write(Lines(out))
        _describe(out, one, form)
    report = one.report(form)
    for what in _not_covered(report):
        sink.not_covered("graph", what)
    return report


class _Import:
    """One dump on its way into one artifact."""

    def __init__(self, path: Path, known: Outline, work: Work, skip: bool, refuses: Refuses | None):
        self.path, self.known, self.work = path, known, work
        self._skip, self._refuses = skip, refuses
        self.digest, self.numbers = GraphDigest(), Numbers()
        self.problems = Problems(list(known.unknown.listed), known.unknown.count)
        self._nameless = 0

    def write(self, lines: Lines) -> None:
        self._stop_at(Problems.of(p for p in self.known.unknown.listed if _DATA.match(p.excerpt)))
        lines.header(SERVER, "memgraph")
        objects = [item for _, item in self.known.objects]
        self.digest.schema(objects)
        for item in objects:
            lines.schema(item)
        self._nodes(lines)
        self._relationships(lines)
        lines.end(self.digest.counts["nodes"], self.digest.counts["relationships"])

    def _nodes(self, lines: Lines) -> None:
        bad = Problems()
        for statement, found in nodes(self.path, self.known, self.work, bad):
            self._stop_at(bad)
            number = found.id if found.id is not None else self._next_nameless()
            text = canonical(found.properties)
            if self._is_refused(statement, partial(Node, number, found.labels, found.properties), text):
                continue
            self.numbers.add(":".join(sorted(found.labels)), found.properties)
            self.digest.node(number, found.labels, text)
            lines.node(number, found.labels, text)
        self._stop_at(bad, ended=True)
        try:
            self.digest.freeze()
        except DuplicateId as error:
            raise self._error(f"two nodes have the __mg_id__ {error.node}") from error

    def _next_nameless(self) -> int:
        """A node that no relationship can name; the dump's own numbers are not negative."""
        self._nameless -= 1
        return self._nameless

    def _relationships(self, lines: Lines) -> None:
        bad = Problems()
        batch: list[Digested] = []
        origins: list[Statement] = []
        for statement, found in relationships(self.path, self.known, self.work, bad):
            self._stop_at(bad)
            text = canonical(found.properties)
            record = partial(Relationship, found.type, found.start, found.end, found.properties)
            if self._is_refused(statement, record, text):
                continue
            self.numbers.add(found.type, found.properties)
            batch.append((found.type, found.start, found.end, text))
            origins.append(statement)
            if len(batch) == BATCH:
                self._flush(batch, origins, lines)
        self._stop_at(bad, ended=True)
        self._flush(batch, origins, lines)

    def _flush(self, batch: list[Digested], origins: list[Statement], lines: Lines) -> None:
        dangling = set(self.digest.relate(batch))
        for place, (kind, start, end, text) in enumerate(batch):
            if place in dangling:
                self._left_out(origins[place], f"node {start} or node {end} is not there")
            else:
                lines.relationship(kind, start, end, text)
        batch.clear()
        origins.clear()

    def _is_refused(self, statement: Statement, record: Callable[[bytes], Node | Relationship], text: str) -> bool:
        """:param record: makes the record, for the server to judge; its line is its text."""
        if self._refuses is None or (reason := self._refuses(record(text.encode()))) is None:
            return False
        self._left_out(statement, reason)
        return True

    def _left_out(self, statement: Statement, reason: str) -> None:
        if not self._skip:
            raise self._error(f"line {statement.line} cannot be applied: {reason}", statement.excerpt)
        self.problems.add(statement, reason)

    def _stop_at(self, bad: Problems, *, ended: bool = False) -> None:
        """The first statement that is not understood ends the import, unless such are to be left out."""
        if bad.count and not self._skip:
            first = bad.listed[0]
            raise self._error(f"line {first.line} cannot be applied: {first.reason}", first.excerpt)
        if ended:
            self.problems.count += bad.count
            self.problems.listed += bad.listed

    def _error(self, what: str, tried: str | None = None) -> UnreadableDump:
        todo = "repair the file, or leave such statements out and have them listed: --skip"
        return UnreadableDump(what, where=str(self.path), tried=tried, todo=todo)

    def report(self, form: Form) -> DumpReport:
        counts = self.digest.counts
        return DumpReport(
            path=self.path,
            form=form,
            statements=self.known.statements,
            nodes=counts["nodes"],
            relationships=counts["relationships"],
            left_out=self.problems.count,
            problems=tuple(sorted(self.problems.listed, key=lambda problem: problem.line)),
            lost=self.known.lost,
            suspects=tuple(self.numbers.suspects()),
            lines={str(item): line for line, item in self.known.objects},
        )


def _describe(out: ArtifactWriter, one: _Import, form: Form) -> None:
    digest = one.digest
    out.counts = digest.counts
    out.fingerprint = digest.fingerprint()
    out.details = {
        "format": VERSION,
        "server": SERVER,
        "dump": {"file": one.path.name, "form": form, "statements": one.known.statements},
        "labels": dict(digest.nodes.most_common(LISTED)),
        "types": dict(digest.relationships.most_common(LISTED)),
        "schema": [str(item) for _, item in one.known.objects[:LISTED]],
        "lines": {str(item): line for line, item in one.known.objects[:LISTED]},
    }


def _not_covered(report: DumpReport) -> list[str]:
    said = [f"what no dump has: {what}" for what in LOST_BY_NATURE]
    said += [f"not applied: {problem}" for problem in report.problems[:SHOWN]]
    if report.left_out > SHOWN:
        said.append(f"not applied: {report.left_out - SHOWN} more statements")
    said += report.lost
    said += [f"probably doubles, restored as integers: {what}" for what in report.suspects[:SHOWN]]
    return said
