"""One part of a backup: what is asked for, what of a store it is, and how it gets in without taking anything away."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.errors import BackupNotFound, ConfigurationError, ConfirmationMissing, RestoreFailed, StoreError
from archon_dagster.repository.manifest import Fingerprint, Manifest
from archon_dagster.restore import measured
from archon_dagster.restore.journal import JournalFile
from archon_dagster.restore.plan import make_plan
from archon_dagster.restore.restore import RestoreRequest, RestoreResult, restore_backup
from archon_dagster.restore.selection import Selection, selection_of, stores_of
from archon_dagster.stores.base import Description, Sink, Source, Work
from archon_dagster.stores.graph.dialect import Dialect
from archon_dagster.stores.graph.extract import Extract
from archon_dagster.stores.graph.part import kept_to
from archon_dagster.stores.relational.adding import belongs
from archon_dagster.stores.relational.renaming import renamed
from archon_dagster.stores.relational.table import Table
from archon_dagster_tests.unit.platform_double import FolderStore, Platform, failing, fingerprint_of

CONFIRM = "RESTORE"


class FolderPart:
    """One record of a folder, as a part of a store."""

    def __init__(self, whole: DividedStore, kept: str, new_name: str = ""):
        self.name, self._whole = whole.name, whole
        self.kept, self.live, self._adds = kept, new_name or kept, bool(new_name)
        self.left_out = ("its neighbours",)

    def _records(self) -> dict[str, bytes]:
        return {name: data for name, data in self._whole.records().items() if name == self.live}

    def describe(self) -> Description:
        return replace(self._whole.describe(), counts=dict.fromkeys(self._records(), 1))

    def exists(self) -> bool:
        return bool(self._records())

    def replaces(self) -> bool:
        return self.exists() and not self._adds

    def captured(self, counts: Mapping[str, int], fingerprint: Fingerprint) -> int | None:
        return counts.get(self.kept)

    def share(self, fingerprint: Fingerprint) -> Fingerprint:
        parts = {f"{self.live}": fingerprint.parts[self.kept]} if self.kept in fingerprint.parts else {}
        return fingerprint.model_copy(update={"parts": parts})

    def fingerprint(self, work: Work) -> Fingerprint:
        self._whole.fault("fingerprint")
        return Fingerprint(parts={name: _part(data) for name, data in self._records().items()})

    def export(self, sink: Sink, work: Work) -> None:
        work.captured()
        self._whole.write(sink, self._records())

    def verify(self, source: Source, work: Work) -> Iterator[Any]:
        return iter(())

    def preflight(self, source: Source, work: Work) -> None:
        if self._adds and self.exists():
            raise StoreError(f"there is a {self.live} already; nothing was touched")

    def restore(self, source: Source, work: Work) -> None:
        for artifact in source.artifacts(self.name):
            with source.open(artifact) as stream:
                for line in stream.read().splitlines():
                    name, _, text = line.decode().partition("\0")
                    if name == self.kept:
                        self._whole.put(self.live, text)
        self._whole.fault("restored")

    def discard(self, work: Work) -> None:
        (self._whole.folder / self.live).unlink(missing_ok=True)


class DividedStore(FolderStore):
    """A folder whose records can be restored one by one."""

    def part(self, name: str, new_name: str = "") -> FolderPart:
        return FolderPart(self, name, new_name)

    def export(self, sink: Sink, work: Work) -> None:
        records = self.records()
        work.captured()
        self.write(sink, records)

    def write(self, sink: Sink, records: Mapping[str, bytes]) -> None:
        with sink.artifact(self.name, f"folder/{self.name}", "records", media_type="text/plain", cut="whole") as out:
            for record, data in records.items():
                out.write(f"{record}\0{data.decode()}\n".encode())
            out.counts = dict.fromkeys(records, 1)
            out.fingerprint = Fingerprint(parts={name: _part(data) for name, data in records.items()})

    def verify(self, source: Source, work: Work) -> Iterator[Any]:
        return iter(())


def _part(data: bytes) -> Any:
    return fingerprint_of("", {"": data}).parts["/records"]


class Case:
    """A platform whose vectors can be restored record by record; it was backed up and has changed since."""

    def __init__(self, home: Path):
        self.platform = Platform(home)
        self.store = DividedStore("vectors", home / "live" / "divided")
        self.platform.context.stores["vectors"] = self.store
        for number in range(3):
            self.store.put(f"{number}", f"as it was {number}")
        self.backup: Manifest = take_backup(self.platform.context, BackupRequest(quiesce=False)).manifest
        self.store.put("0", "changed since")
        self.store.put("new", "new since")
        self.changed = self.store.records()

    def restore(self, name: str, new_name: str = "", confirm: str = CONFIRM) -> RestoreResult:
        selection = Selection("collection", name, new_name)
        return restore_backup(self.platform.context, RestoreRequest(self.backup.id, confirm, selection=selection))


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.setattr("archon_dagster.restore.restore.wait_until_ready", lambda *_, **__: {})
    return Case(tmp_path)


def test_under_a_new_name_nothing_else_changes_and_nobody_is_stopped(case: Case) -> None:
    backups = len(case.platform.repository.backups())
    result = case.restore("0", "then")
    assert case.store.records() == {**case.changed, "then": b"as it was 0"}
    assert {verb for verb, _ in case.platform.runtime.done} <= {"up"}
    assert (result.safety, result.undo) == (None, None)
    assert len(case.platform.repository.backups()) == backups
    assert "not restored: its neighbours" in result.notes


def test_a_name_that_is_taken_is_refused(case: Case) -> None:
    with pytest.raises(StoreError, match="already"):
        case.restore("0", "new")
    assert case.store.records() == case.changed


@pytest.mark.parametrize("moment", ["restored", "fingerprint"])
def test_what_was_added_goes_when_it_fails(case: Case, moment: str) -> None:
    case.store.fault = failing(moment)
    with pytest.raises(RestoreFailed, match="what it had made was removed"):
        case.restore("0", "then")
    assert case.store.records() == case.changed
    assert JournalFile(case.platform.settings).read() is None


def test_one_part_is_replaced_and_can_be_taken_back(case: Case) -> None:
    result = case.restore("0")
    assert case.store.records() == {**case.changed, "0": b"as it was 0"}
    assert result.safety is not None
    assert result.safety.of_store("vectors")[0].counts == {"0": 1}
    assert result.undo == f"archon restore {result.safety.id} --confirm RESTORE --collection 0"
    assert ("stop", ("archon-search",)) in case.platform.runtime.done


def test_a_failed_replacement_is_put_back(case: Case) -> None:
    calls = []

    def once(verb: str) -> None:
        if verb == "restored":
            calls.append(verb)
            if len(calls) == 1:
                failing(verb)(verb)

    case.store.fault = once
    with pytest.raises(RestoreFailed, match=r"put back .* identical(?s:.*)--collection 0"):
        case.restore("0")
    assert case.store.records() == case.changed


def test_a_part_that_is_gone_is_added(case: Case) -> None:
    (case.store.folder / "1").unlink()
    assert case.restore("1").safety is None
    assert case.store.records()["1"] == b"as it was 1"


def test_the_writers_stand_still_while_a_part_that_is_gone_comes_back(case: Case) -> None:
    (case.store.folder / "1").unlink()
    at_work: list[bool] = []
    case.store.fault = lambda verb: at_work.append(("stop", ("archon-search",)) in case.platform.runtime.done)
    case.restore("1")
    assert at_work[0]
    assert "archon-search" in case.platform.runtime.done[-1][1]
    assert JournalFile(case.platform.settings).read() is None


def test_what_does_not_come_back_is_taken_out_and_the_writers_start_again(case: Case) -> None:
    (case.store.folder / "1").unlink()
    case.store.fault = failing("restored")
    with pytest.raises(RestoreFailed, match="what it had made was removed"):
        case.restore("1")
    assert "1" not in case.store.records()
    assert case.platform.runtime.done[-1] == ("up", ("archon-search",))
    assert JournalFile(case.platform.settings).read() is None


def test_an_interrupted_restore_of_the_same_part_is_finished_by_adding_it(case: Case) -> None:
    file, words = JournalFile(case.platform.settings), ("--collection", "1")
    journal = file.begin(case.backup.id, "restore vectors", options=words)
    file.update(journal, touched=("vectors",), stopped=("archon-search",))
    (case.store.folder / "1").unlink()
    case.store.fault = failing("restored")
    with pytest.raises(RestoreFailed):
        case.restore("1")
    left = file.read()
    assert left is not None
    assert (left.touched, left.stopped) == (("vectors",), ("archon-search",))
    case.store.fault = lambda verb: None
    case.restore("1")
    assert file.read() is None
    assert "archon-search" in case.platform.runtime.done[-1][1]


def test_an_interrupted_restore_of_another_part_comes_first(case: Case) -> None:
    file = JournalFile(case.platform.settings)
    journal = file.begin(case.backup.id, "restore vectors", options=("--collection", "0"))
    file.update(journal, touched=("vectors",))
    (case.store.folder / "1").unlink()
    with pytest.raises(ConfigurationError, match="comes first"):
        case.restore("1")
    case.restore("1", "then")
    assert file.read() is not None


def test_a_part_the_backup_does_not_have_is_named_with_those_it_has(case: Case) -> None:
    with pytest.raises(BackupNotFound, match=r"has no collection nine[\s\S]*it has 0, 1, 2"):
        case.restore("nine")


def test_it_has_to_be_confirmed_also_where_nothing_is_replaced(case: Case) -> None:
    with pytest.raises(ConfirmationMissing):
        case.restore("0", "then", confirm="")


def test_the_plan_tells_one_from_the_other(case: Case) -> None:
    def plan(name: str, new_name: str = "") -> Any:
        return make_plan(case.platform.context, case.backup.id, selection=Selection("collection", name, new_name))

    replaced, added, refused = plan("0"), plan("0", "then"), plan("0", "new")
    assert [p.changes[0].effect for p in (replaced, added, refused)] == [
        "is replaced", "is added, from 0", "is refused: the name is taken"
    ]  # fmt: skip
    assert [p.stops for p in (replaced, added)] == [("archon-search",), ()]
    assert replaced.untouched == ("everything else of the vectors", "graph", "relational", "configuration")
    assert added.command.endswith("--confirm RESTORE --collection 0 --as then")


def test_a_duration_is_estimated_from_the_rates_of_other_restores(case: Case) -> None:
    selection = Selection("collection", "0", "then")
    assert make_plan(case.platform.context, case.backup.id, selection=selection).estimate is None
    for seconds in (1.0, 2.0, 40.0):
        took = {"restore vectors": seconds}
        measured.record(
            case.platform.repository, RestoreResult(case.backup, ("vectors",), seconds=took, moved={"vectors": 1000})
        )
    plan = make_plan(case.platform.context, case.backup.id, selection=selection)
    assert plan.estimate == pytest.approx(case.backup.of_store("vectors")[0].size / 500)
    assert "rates of earlier restores" in plan.estimated_from


def test_the_steps_that_adding_a_part_does_not_take_are_not_in_its_duration(case: Case) -> None:
    steps = {"verify the backup": 4.0, "stop the writers": 0.5, "safety backup": 10.0, "start": 3.0}
    seconds = steps | {"restore vectors": 1.0}
    measured.record(
        case.platform.repository, RestoreResult(case.backup, ("vectors",), seconds=seconds, moved={"vectors": 10**9})
    )

    def estimate(name: str, new_name: str = "") -> float | None:
        selection = Selection("collection", name, new_name)
        return make_plan(case.platform.context, case.backup.id, selection=selection).estimate

    assert [estimate("0", "then"), estimate("0")] == [pytest.approx(4.0), pytest.approx(17.5)]
    (case.store.folder / "1").unlink()  # it is missing: added under its own name, while nobody writes
    assert estimate("1") == pytest.approx(7.5)


def test_a_restore_into_another_place_says_nothing_about_one_into_this(case: Case) -> None:
    there = RestoreResult(case.backup, ("vectors",), rto=90.0, target="/other home", unhealthy={"archon-mcp": "down"})
    measured.record(case.platform.repository, there)
    measured.record(case.platform.repository, replace(there, rto=30.0, unhealthy={}))
    assert make_plan(case.platform.context, case.backup.id, ("vectors",)).estimate is None


# what is asked for ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [
        {"collection": "a", "table": "b"},
        {"new_name": "b"},
        {"label": "a", "new_name": "a"},
    ],
)
def test_what_cannot_be_meant_is_refused(asked: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        selection_of(**asked)


def test_a_selection_says_which_store_it_is_of() -> None:
    table = selection_of(table="public.a b", new_name="c")
    assert table is not None
    assert stores_of(table, ()) == ("relational",)
    assert table.options == ("--table", "public.a b", "--as", "c")
    assert table.back.options == ("--table", "c")
    with pytest.raises(ConfigurationError, match="--only"):
        stores_of(table, ("graph",))


# tables --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "schema", "name"),
    [
        ("tasks", "public", "tasks"),
        ("other.tasks", "other", "tasks"),
        ('"a.b"."c ""d"""', "a.b", 'c "d"'),
        ("scale.Größe 1", "scale", "Größe 1"),
    ],
)
def test_a_table_is_understood_in_every_notation(text: str, schema: str, name: str) -> None:
    table = Table.parse(text)
    assert table == Table(schema, name) == Table.parse(table.typed)


@pytest.mark.parametrize("text", ["", "a.b.c", '"a', "x" * 64])
def test_what_is_no_table_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        Table.parse(text)


@pytest.mark.parametrize(
    ("statement", "wanted"),
    [
        (b"ALTER TABLE ONLY public.a\n    ADD CONSTRAINT a_pkey PRIMARY KEY (id);", True),
        (b'CREATE UNIQUE INDEX "odd name" ON public.a USING btree (x);', True),
        (b"ALTER TABLE public.a ENABLE ROW LEVEL SECURITY;", True),
        (b"ALTER TABLE ONLY public.a\n    ADD CONSTRAINT fk FOREIGN KEY (b) REFERENCES public.b(id);", False),
        (b"ALTER TABLE ONLY public.ab\n    ADD CONSTRAINT ab_pkey PRIMARY KEY (id);", False),
        (b"ALTER TABLE ONLY other.a\n    ADD CONSTRAINT a_pkey PRIMARY KEY (id);", False),
        (b"CREATE TRIGGER t AFTER INSERT ON public.a FOR EACH ROW EXECUTE FUNCTION f();", False),
        (b"CREATE POLICY p ON public.a USING (true);", False),
    ],
)
def test_indexes_and_constraints_of_the_table_come_along_and_nothing_else(statement: bytes, wanted: bool) -> None:
    assert belongs(statement, Table("public", "a")) is wanted


def test_new_names_follow_the_table_are_free_and_short_enough() -> None:
    taken = {"b_pkey"}
    assert renamed("a_pkey", "a", "b", taken) == "b_pkey_1"
    assert renamed("other", "a", "b", taken) == "b_other"
    assert renamed("a_pkey", "a", "a", taken) == "a_pkey"
    long = renamed("a_" + "x" * 60, "a", "n" * 60, taken)
    assert len(long.encode()) <= 63
    assert renamed("a_" + "x" * 60, "a", "n" * 60, taken) != long


# labels --------------------------------------------------------------------------------------------------------------

ARTIFACT = (
    '{"dialect":"memgraph","format":"archon-graph","server":"x","version":1}\n'
    '{"s":"enum","name":"E","options":{"values":["V"]},"on":null}\n'
    '{"n":1,"l":["A","B"],"p":{}}\n{"n":2,"l":["A"],"p":{}}\n{"n":3,"l":["C"],"p":{}}\n'
    '{"r":"T","a":1,"b":2,"p":{}}\n{"r":"T","a":2,"b":3,"p":{}}\n{"r":"T","a":3,"b":3,"p":{}}\n'
    '{"end":{"nodes":3,"relationships":3}}\n'
)


def test_of_a_graph_the_nodes_of_a_label_and_what_is_between_them(tmp_path: Path) -> None:
    found = Extract("A", "Z", Work(scratch=tmp_path))
    found.survey(io.BytesIO(ARTIFACT.encode()), lambda record: None)  # type: ignore[arg-type]
    assert (found.nodes, found.relationships, found.left_out, dict(found.others)) == (2, 1, 1, {"B": 1})
    assert set(found.fingerprint.parts) == {"nodes/B:Z", "nodes/Z", "relationships/T"}
    assert found.enums == []  # no node uses one
    records = list(found.records(io.BytesIO(ARTIFACT.encode())))  # type: ignore[arg-type]
    assert [record.labels for record in records[:2]] == [["Z", "B"], ["Z"]]  # type: ignore[union-attr]
    assert len(records) == 3


def test_statements_reach_the_label_alone_whatever_it_is_called() -> None:
    dialect = kept_to(Dialect("1"), "odd `{label}`")
    assert dialect.NODES.startswith("MATCH (n:`odd ``{label}```) ")
    assert dialect.COUNT_RELATIONSHIPS == "MATCH (a:`odd ``{label}```)-[r]->(b:`odd ``{label}```) RETURN count(r)"
