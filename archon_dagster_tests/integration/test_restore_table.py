"""One table of a real PostgreSQL is put back, and nothing but that table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from archon_dagster.errors import BackupNotFound, StoreError
from archon_dagster.sandbox.ports import any_free
from archon_dagster.stores.base import Work
from archon_dagster.stores.relational import RelationalStore
from archon_dagster.stores.relational.part import TableStore
from archon_dagster.stores.relational.programs import ServicePrograms
from archon_dagster.stores.relational.table import Table
from archon_dagster_tests.artifacts import MemorySink, MemorySource
from archon_dagster_tests.integration.postgres_server import Server, running_server

pytestmark = [pytest.mark.sandbox, pytest.mark.long]

DATABASE = "tables"


@dataclass(frozen=True)
class Case:
    """An empty database and its store."""

    server: Server
    store: RelationalStore
    work: Work

    def sql(self, script: str) -> list[str]:
        return self.server.sql(script, DATABASE)

    def backup(self, table: str | None = None) -> MemorySource:
        """The whole database, or what a safety backup keeps of one table."""
        sink = MemorySink()
        (self.part(table) if table else self.store).export(sink, self.work)
        return sink.source()

    def part(self, table: str, new_name: str = "") -> TableStore:
        return TableStore(self.store, table, new_name)

    def restore(self, source: MemorySource, table: str, new_name: str = "") -> None:
        """As a restore does it: look, put back, compare."""
        part = self.part(table, new_name)
        part.preflight(source, self.work)
        part.restore(source, self.work)
        promised = [one.fingerprint for one in source.artifacts("relational") if one.fingerprint]
        assert part.fingerprint(self.work) == part.share(promised[0])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("postgres"), any_free()) as running:
        yield running


@pytest.fixture
def case(server: Server, tmp_path: Path) -> Iterator[Case]:
    server.sql(f"CREATE DATABASE {DATABASE};")
    yield Case(server, RelationalStore(ServicePrograms(server, {}), DATABASE, "postgres"), Work(tmp_path, deadline=60))
    server.sql(f"DROP DATABASE {DATABASE} WITH (FORCE);")


# tables that others inherit from -------------------------------------------------------------------------------------

FAMILY = """
CREATE TABLE parent (id serial PRIMARY KEY, note text);
CREATE TABLE child (extra text DEFAULT 'x', PRIMARY KEY (id)) INHERITS (parent);
INSERT INTO parent (note) VALUES ('p1'), ('p2');
INSERT INTO child (note) VALUES ('c3');
"""


@pytest.mark.parametrize("referenced", [False, True], ids=["truncate", "delete"])
def test_rows_of_tables_that_inherit_are_neither_taken_nor_compared(case: Case, referenced: bool) -> None:
    case.sql(FAMILY)
    if referenced:
        case.sql("CREATE TABLE pointing (p int REFERENCES parent); INSERT INTO pointing VALUES (1);")
    source = case.backup()
    case.sql("INSERT INTO child (note) VALUES ('c4'), ('c5'); INSERT INTO parent (note) VALUES ('p6');")
    children = case.sql("SELECT * FROM child ORDER BY id")
    safety = case.backup("parent")
    (kept,) = safety.artifacts("relational")
    assert kept.counts == {"public.parent": 3}

    case.restore(source, "public.parent")
    assert case.sql("SELECT note FROM ONLY parent ORDER BY id") == ["p1", "p2"]
    assert case.sql("SELECT * FROM child ORDER BY id") == children

    case.restore(safety, "public.parent")
    assert case.sql("SELECT note FROM ONLY parent ORDER BY id") == ["p1", "p2", "p6"]
    assert case.sql("SELECT * FROM child ORDER BY id") == children


def test_a_sequence_that_other_tables_use_does_not_go_back(case: Case) -> None:
    case.sql(FAMILY)
    source = case.backup()
    case.sql("INSERT INTO child (note) VALUES ('c4'), ('c5');")
    case.restore(source, "parent")
    assert case.sql("INSERT INTO child (note) VALUES ('c6') RETURNING id") == ["6"]
    case.sql("SELECT setval('parent_id_seq', 1)")
    case.restore(source, "parent")
    assert case.sql("SELECT last_value, is_called FROM parent_id_seq") == ["3|t"]


def test_a_row_that_only_a_child_has_does_not_satisfy_a_foreign_key(case: Case) -> None:
    case.sql(FAMILY)
    source = case.backup()
    case.sql("INSERT INTO parent VALUES (9, 'p9'); INSERT INTO child VALUES (9, 'c9');")
    case.sql("CREATE TABLE pointing (p int REFERENCES parent); INSERT INTO pointing VALUES (9);")
    with pytest.raises(StoreError, match=r"they are as they were[\s\S]*foreign key pointing_p_fkey"):
        case.restore(source, "parent")
    assert case.sql("SELECT id FROM ONLY parent ORDER BY id") == ["1", "2", "9"]


# sequences -----------------------------------------------------------------------------------------------------------

NUMBERED = """
CREATE TABLE "Ser'ial" (id serial PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY (INCREMENT BY -5 MAXVALUE 100),
    t text);
INSERT INTO "Ser'ial" (t) SELECT 'row' FROM generate_series(1, 5);
"""


def numbers(case: Case) -> list[str]:
    return case.sql("""INSERT INTO "Ser'ial" (t) VALUES ('next') RETURNING id, n""")


@pytest.mark.parametrize(
    "since", ['TRUNCATE "Ser\'ial" RESTART IDENTITY', "INSERT INTO \"Ser'ial\" (t) VALUES ('since')"]
)
def test_sequences_go_on_where_the_backup_has_them(case: Case, since: str) -> None:
    case.sql(NUMBERED)
    source = case.backup()
    case.sql(since)
    safety, after = case.backup("Ser'ial"), case.sql('SELECT id, n FROM "Ser\'ial" ORDER BY id')
    case.restore(source, "Ser'ial")
    assert numbers(case) == ["6|75"]
    case.restore(safety, "Ser'ial")
    assert case.sql('SELECT id, n FROM "Ser\'ial" ORDER BY id') == after
    assert numbers(case) == (["7|70"] if after else ["1|100"])


def test_a_failed_restore_leaves_the_sequences_as_they_were(case: Case) -> None:
    case.sql(NUMBERED)
    source = case.backup()
    case.sql(NUMBERED.splitlines()[-1])
    # a check that is put off to the end fails after everything else, also after the sequences
    case.sql(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'at the end'; END $$;"
        "CREATE TABLE watched (id int); CREATE FUNCTION late() RETURNS event_trigger LANGUAGE plpgsql AS "
        "$$ BEGIN INSERT INTO public.watched VALUES (1); END $$;"
        "CREATE CONSTRAINT TRIGGER fails AFTER INSERT ON watched INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION fail();"
        "ALTER TABLE watched ENABLE ALWAYS TRIGGER fails;"
        "CREATE EVENT TRIGGER late ON ddl_command_end WHEN TAG IN ('ALTER SEQUENCE') EXECUTE FUNCTION late();"
        "ALTER EVENT TRIGGER late ENABLE ALWAYS;"
    )
    with pytest.raises(StoreError, match="at the end"):
        case.restore(source, "Ser'ial")
    assert numbers(case) == ["11|50"]


def test_a_sequence_that_the_backup_does_not_have_stays(case: Case) -> None:
    case.sql("CREATE TABLE late (id int); INSERT INTO late VALUES (1);")
    source = case.backup()
    case.sql("CREATE SEQUENCE late_seq START 7 OWNED BY late.id; SELECT nextval('late_seq')")
    case.restore(source, "late")
    assert case.sql("SELECT nextval('late_seq')") == ["8"]


@pytest.mark.parametrize("new_name", ["", "again"])
def test_a_sequence_of_a_text_column_comes_with_its_table(case: Case, new_name: str) -> None:
    case.sql(
        "CREATE SEQUENCE codeseq; CREATE TABLE coded (code text DEFAULT 'X' || nextval('codeseq') PRIMARY KEY, t text);"
        "ALTER SEQUENCE codeseq OWNED BY coded.code; INSERT INTO coded (t) VALUES ('a'), ('b');"
    )
    source = case.backup()
    if not new_name:
        case.sql("DROP TABLE coded")
    case.restore(source, "coded", new_name)
    table = new_name or "coded"
    assert case.sql(f"INSERT INTO {table} (t) VALUES ('c') RETURNING code") == ["X3"]
    assert case.sql(f"SELECT count(*) FROM {table}") == ["3"]


# triggers ------------------------------------------------------------------------------------------------------------

TRIGGERED = """
CREATE TABLE rows (id int PRIMARY KEY, t text);
INSERT INTO rows VALUES (1, 'one'), (2, 'two');
CREATE TABLE fired (by text);
CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN INSERT INTO public.fired VALUES (TG_NAME); RETURN COALESCE(NEW, OLD); END $$;
"""
ENABLED = {"O": "ENABLE", "D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}
STATES = "SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'rows'::regclass AND NOT tgisinternal ORDER BY 1"


def add_triggers(case: Case) -> None:
    for letter, how in ENABLED.items():
        name = f'"On {letter}"'
        case.sql(
            f"CREATE TRIGGER {name} BEFORE INSERT OR DELETE ON rows FOR EACH ROW EXECUTE FUNCTION fire();"
            f"CREATE TRIGGER cut_{letter} AFTER TRUNCATE ON rows EXECUTE FUNCTION fire();"
            f"CREATE CONSTRAINT TRIGGER late_{letter} AFTER INSERT OR DELETE ON rows INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION fire();"
            f"ALTER TABLE rows {how} TRIGGER {name}, {how} TRIGGER cut_{letter}, {how} TRIGGER late_{letter};"
        )


@pytest.mark.parametrize("referenced", [False, True], ids=["truncate", "delete"])
def test_no_trigger_fires_however_it_is_enabled_and_each_stays_as_it_is(case: Case, referenced: bool) -> None:
    case.sql(TRIGGERED)
    source = case.backup()
    case.sql("UPDATE rows SET t = 'changed since'")
    if referenced:  # the triggers that make the key cascade would fire, too
        case.sql(
            "CREATE TABLE pointing (r int REFERENCES rows ON DELETE CASCADE); INSERT INTO pointing VALUES (1);"
            "SELECT format('ALTER TABLE rows ENABLE ALWAYS TRIGGER %I', tgname) FROM pg_trigger "
            "WHERE tgrelid = 'rows'::regclass\n\\gexec"
        )
    add_triggers(case)
    states = case.sql(STATES)
    every = case.sql("SELECT oid, tgenabled FROM pg_trigger ORDER BY 1")

    case.restore(source, "rows")

    assert case.sql("SELECT t FROM rows ORDER BY id") == ["one", "two"]
    assert case.sql("SELECT * FROM fired") == []
    assert case.sql("SELECT oid, tgenabled FROM pg_trigger ORDER BY 1") == every
    assert case.sql(STATES) == states
    if referenced:
        assert case.sql("SELECT r FROM pointing") == ["1"]


def test_triggers_stay_as_they_are_when_the_restore_fails(case: Case) -> None:
    case.sql(TRIGGERED)
    source = case.backup()
    add_triggers(case)
    states = case.sql(STATES)
    case.sql("TRUNCATE rows, fired; ALTER TABLE rows ADD CHECK (id > 1); TRUNCATE fired")
    with pytest.raises(StoreError, match="they are as they were"):
        case.restore(source, "rows")
    assert case.sql(STATES) == states
    assert case.sql("SELECT * FROM fired") == []
    assert case.sql("SELECT * FROM rows") == []


def test_a_rule_that_is_always_applied_is_not(case: Case) -> None:
    case.sql(
        f"{TRIGGERED} CREATE TABLE pointing (r int REFERENCES rows);"
        "CREATE RULE keep AS ON DELETE TO rows DO INSTEAD NOTHING; ALTER TABLE rows ENABLE ALWAYS RULE keep;"
    )
    source = case.backup()
    case.sql("INSERT INTO rows VALUES (3, 'since')")
    case.restore(source, "rows")
    assert case.sql("SELECT id FROM rows ORDER BY id") == ["1", "2"]
    assert case.sql("SELECT ev_enabled FROM pg_rewrite WHERE rulename = 'keep'") == ["A"]


# partitions ----------------------------------------------------------------------------------------------------------


def test_a_partition_is_restored_though_keys_point_at_its_siblings(case: Case) -> None:
    case.sql(
        "CREATE TABLE parted (id int PRIMARY KEY, t text) PARTITION BY RANGE (id);"
        "CREATE TABLE low PARTITION OF parted FOR VALUES FROM (0) TO (10);"
        "CREATE TABLE high PARTITION OF parted FOR VALUES FROM (10) TO (20);"
        "INSERT INTO parted VALUES (1, 'low'), (11, 'high');"
        "CREATE TABLE pointing (r int REFERENCES parted); INSERT INTO pointing VALUES (1), (11);"
    )
    source = case.backup()
    case.sql("UPDATE parted SET t = 'since'")
    case.restore(source, "low")
    assert case.sql("SELECT t FROM parted ORDER BY id") == ["low", "since"]
    case.sql("INSERT INTO parted VALUES (2, 'since'); INSERT INTO pointing VALUES (2)")
    with pytest.raises(StoreError, match=r"foreign key pointing_r_fkey of public\.pointing would point at rows"):
        case.restore(source, "low")


# names ---------------------------------------------------------------------------------------------------------------


def test_the_tables_that_a_backup_has_are_named_as_they_can_be_typed(case: Case) -> None:
    case.sql('CREATE TABLE "tab""q" (i int); CREATE SCHEMA "my schema"; CREATE TABLE "my schema"."a.b" (i int);')
    with pytest.raises(BackupNotFound) as caught:
        case.part("none").preflight(case.backup(), case.work)
    assert caught.value.tried == 'it has "my schema"."a.b", public."tab""q"'
    assert Table.parse('"my schema"."a.b"') == Table("my schema", "a.b")
