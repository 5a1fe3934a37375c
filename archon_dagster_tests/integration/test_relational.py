"""The relational store against a real PostgreSQL."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest

from archon_dagster.errors import (
    ArchonError,
    Cancelled,
    DamagedBackup,
    RestoreFailed,
    StoreError,
    StoreUnavailable,
    VersionMismatch,
)
from archon_dagster.platform.runtime.protocol import Exec
from archon_dagster.sandbox.ports import any_free
from archon_dagster.stores.base import Work
from archon_dagster.stores.relational import RelationalStore
from archon_dagster.stores.relational.archive import read_head
from archon_dagster.stores.relational.programs import LocalPrograms, Programs, ServicePrograms
from archon_dagster_tests.artifacts import MemorySink, MemorySource
from archon_dagster_tests.integration.postgres_server import Server, running_server
from archon_dagster_tests.prompt import PROMPT, Cancel

pytestmark = pytest.mark.sandbox

DATABASE = "Arc'hon d\"b"
DUMP = f"postgres/{DATABASE}"
SCHEMA = r"""
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE kinds (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, t text, j jsonb, b bytea, n numeric, f float8, m mood,
    z timestamptz, a text[], v varchar CHECK (v IN ('x', 'y')), g int GENERATED ALWAYS AS (length(t)) STORED);
INSERT INTO kinds (t, j, b, n, f, m, z, a, v) VALUES
    (E'tab\t, line\n, \\.', '{"a": [1, 1.0, null]}', '\x00ff', 1.10, '-0', 'ok', '2025-03-30 02:30+05:30',
     '{a,"b,c",NULL}', 'x'),
    (E'\\.\n', 'null', '', 'NaN', 'Infinity', NULL, 'infinity', '{}', 'y'),
    ('SELECT 1;', NULL, NULL, NULL, 1e-300, NULL, '0044-03-15 BC', NULL, NULL);
CREATE TABLE "Odd na.me" ("c;ol" int);
INSERT INTO "Odd na.me" SELECT generate_series(1, 1000);
CREATE TABLE nothing ();
INSERT INTO nothing DEFAULT VALUES;
CREATE TABLE parted (x int) PARTITION BY RANGE (x);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
INSERT INTO parted VALUES (1), (1);
CREATE TABLE child (id int REFERENCES kinds (id));
INSERT INTO child VALUES (1);
CREATE VIEW seen AS SELECT t FROM kinds WHERE v IN ('x', 'y') AND t <> 'a;b --c';
CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM kinds;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $x$ BEGIN -- 'half a quote
    RETURN NEW; END; $x$;
CREATE FUNCTION one() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END;
CREATE TRIGGER touched BEFORE UPDATE ON kinds FOR EACH ROW EXECUTE FUNCTION touch();
COMMENT ON TABLE kinds IS E'it''s;\n-- two lines';
GRANT SELECT ON kinds TO reader;
ALTER TABLE child OWNER TO reader;
SELECT lo_from_bytea(4711, '\xdeadbeef');
"""


@dataclass(frozen=True)
class Case:
    """A database with one of everything, and its store."""

    server: Server
    store: RelationalStore
    work: Work

    def sql(self, script: str) -> list[str]:
        return self.server.sql(script, DATABASE)

    def backup(self) -> MemorySource:
        sink = MemorySink()
        self.store.export(sink, self.work)
        return sink.source()

    def databases(self) -> set[str]:
        return set(self.server.sql("SELECT datname FROM pg_database"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("postgres"), any_free()) as running:
        running.sql("DROP DATABASE IF EXISTS archon;")  # which a sandbox begins with
        yield running


@pytest.fixture
def case(server: Server, tmp_path: Path) -> Iterator[Case]:
    quoted = '"' + DATABASE.replace('"', '""') + '"'
    server.sql("CREATE ROLE reader NOLOGIN;")
    server.sql(f"CREATE DATABASE {quoted};")
    made = Case(server, RelationalStore(ServicePrograms(server, {}), DATABASE, "postgres"), Work(tmp_path, deadline=60))
    made.sql(SCHEMA)
    server.sql(f"ALTER DATABASE {quoted} SET default_transaction_read_only = off; COMMENT ON DATABASE {quoted} IS 'x';")
    yield made
    leftover = [name for name in made.databases() if name not in ("postgres", "template0", "template1")]
    for name in leftover:
        server.sql('DROP DATABASE "' + name.replace('"', '""') + '" WITH (FORCE);')
    server.sql("DROP ROLE IF EXISTS reader;")


class Interfering:
    """The service's programs, with something happening just before a certain command starts."""

    def __init__(self, programs: Programs, before: str, happen: Callable[[], None]):
        self._programs, self._before, self._happen = programs, before, happen

    @property
    def address(self) -> str:
        return self._programs.address

    def run(self, program: str, *arguments: str, database: str | None = None) -> Exec:
        if self._before in " ".join((program, *arguments)) and "--version" not in arguments:
            self._happen()
        return self._programs.run(program, *arguments, database=database)


def test_the_live_database_has_the_fingerprint_of_its_dump(case: Case) -> None:
    expected = case.backup().one(DUMP).fingerprint
    assert expected is not None
    assert expected.differences(case.store.fingerprint(case.work)) == []
    assert {"schema", "sequences", "large objects", "table public.Odd na.me"} <= expected.parts.keys()


def test_the_counts_are_those_the_store_describes(case: Case) -> None:
    counts = case.backup().one(DUMP).counts
    assert counts == case.store.describe().counts
    assert counts["public.Odd na.me"] == 1000 and counts["public.parted_1"] == 2 and "public.parted" not in counts


def test_two_dumps_of_the_same_data_are_the_same_bytes(case: Case) -> None:
    first, second = case.backup(), case.backup()
    assert first.one(DUMP).sha256 == second.one(DUMP).sha256
    assert first.one("postgres/globals").sha256 == second.one("postgres/globals").sha256


def test_the_dump_is_cut_by_content_and_says_who_made_it(case: Case) -> None:
    sink = MemorySink()
    case.store.export(sink, case.work)
    head = read_head(sink.data[DUMP])
    assert sink.cuts[DUMP] == "content"
    assert head is not None and head.database == DATABASE
    assert sink.source().one(DUMP).details["server_version"] == head.server_version


def test_a_restore_brings_everything_back(case: Case) -> None:
    source, before = case.backup(), case.store.fingerprint(case.work)
    comment = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
    case.sql("DROP TABLE child, parted; DELETE FROM kinds; CREATE TABLE junk (); SELECT lo_unlink(4711);")
    assert before.differences(case.store.fingerprint(case.work))
    case.store.restore(source, case.work)
    assert before.differences(case.store.fingerprint(case.work)) == []
    assert case.sql(comment) == ["x"]
    assert case.sql("SELECT * FROM counted") == ["3"]
    assert case.databases() == {DATABASE, "postgres", "template0", "template1"}


def test_a_restore_after_a_restore_changes_nothing(case: Case) -> None:
    source = case.backup()
    case.store.restore(source, case.work)
    again = case.backup()
    case.store.restore(again, case.work)
    expected = source.one(DUMP).fingerprint
    assert expected is not None and expected.differences(case.store.fingerprint(case.work)) == []


def test_a_lost_database_and_its_roles_come_back(case: Case) -> None:
    source = case.backup()
    case.sql("REASSIGN OWNED BY reader TO postgres; DROP OWNED BY reader;")
    quoted = '"' + DATABASE.replace('"', '""') + '"'
    case.server.sql(f"DROP DATABASE {quoted};")
    case.server.sql("DROP ROLE reader;")
    case.store.restore(source, case.work)
    expected = source.one(DUMP).fingerprint
    assert expected is not None and expected.differences(case.store.fingerprint(case.work)) == []


def test_who_is_connected_does_not_stop_a_restore(case: Case) -> None:
    source = case.backup()
    with case.server.exec("postgres", ["psql", "-qXAt", "-d", DATABASE]) as client:
        client.stdin.write(b"BEGIN; LOCK TABLE kinds; SELECT 'connected';\n")
        client.stdin.flush()
        assert client.stdout.readline() == b"connected\n"
        case.sql("DELETE FROM nothing;")
        case.store.restore(source, case.work)
    assert case.sql("SELECT count(*) FROM nothing") == ["1"]


@pytest.mark.parametrize("kind", ["restore", "before"])
def test_what_a_killed_restore_left_is_cleared_by_the_next(case: Case, kind: str) -> None:
    prefix = DATABASE.replace('"', '""')
    case.server.sql(f'CREATE DATABASE "{prefix}_{kind}_0123abcd";')
    case.store.restore(case.backup(), case.work)
    assert not [name for name in case.databases() if re.search("_(restore|before)_", name)]


def test_writes_after_the_capture_are_not_in_the_dump(case: Case) -> None:
    def write() -> None:
        case.sql('INSERT INTO "Odd na.me" VALUES (0); UPDATE kinds SET n = 0;')

    sink, expected = MemorySink(), case.store.fingerprint(case.work)
    case.store.export(sink, replace(case.work, captured=write))
    found = sink.source().one(DUMP).fingerprint
    assert found is not None and found.differences(expected) == []


def test_a_table_cannot_be_emptied_behind_a_captured_snapshot(case: Case) -> None:
    refused: list[str] = []

    def empty() -> None:
        try:
            case.sql('SET lock_timeout = 200; TRUNCATE "Odd na.me";')
        except AssertionError as error:
            refused.append(str(error))

    case.sql('INSERT INTO "Odd na.me" SELECT generate_series(1, 300000);')
    sink = MemorySink()
    case.store.export(sink, replace(case.work, captured=empty))
    assert sink.source().one(DUMP).counts["public.Odd na.me"] == 301_000
    assert refused and "lock timeout" in refused[0]


@pytest.mark.parametrize("store_of", [lambda server: LocalPrograms(f"{server.dsn}/"), lambda server: None])
def test_a_dump_is_verified_with_or_without_a_server(case: Case, store_of: Callable[[Server], Programs | None]) -> None:
    programs = store_of(case.server) or LocalPrograms()
    offline = RelationalStore(programs, DATABASE, "postgres")
    verdicts = {verdict.artifact: verdict.state for verdict in offline.verify(case.backup(), case.work)}
    assert verdicts == {"postgres/globals": "verified", DUMP: "verified"}


def test_the_whole_store_works_over_a_dsn(case: Case) -> None:
    over_dsn = RelationalStore(LocalPrograms(case.server.dsn), DATABASE, "postgres")
    sink = MemorySink()
    over_dsn.export(sink, case.work)
    case.sql("DELETE FROM nothing;")
    over_dsn.restore(sink.source(), case.work)
    assert case.sql("SELECT count(*) FROM nothing") == ["1"]


def _cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def _changed_row(data: bytes) -> bytes:
    return data.replace(b"SELECT 1;\t", b"SELECT 2;\t")


def _garbage(data: bytes) -> bytes:
    return b"not an archive" * 100


@pytest.mark.parametrize("damage", [_cut, _changed_row, _garbage])
def test_damage_is_found_and_the_live_database_is_not_touched(case: Case, damage: Callable[[bytes], bytes]) -> None:
    source, before = case.backup(), case.store.fingerprint(case.work)
    source.replace(DUMP, damage(source.data[DUMP]))
    states = {verdict.artifact: verdict.state for verdict in case.store.verify(source, case.work)}
    assert states[DUMP] == "damaged"
    case.sql("INSERT INTO nothing DEFAULT VALUES;")
    now = case.store.fingerprint(case.work)
    with pytest.raises(ArchonError) as caught:
        case.store.restore(source, case.work)
    assert isinstance(caught.value, (DamagedBackup, StoreError))
    assert now.differences(case.store.fingerprint(case.work)) == []
    assert before.differences(now)
    assert case.databases() == {DATABASE, "postgres", "template0", "template1"}


@pytest.mark.parametrize(
    "details", [{"dump_version": "99.1", "server_version": "18.4"}, {"dump_version": "18.4", "server_version": "99.1"}]
)
def test_an_archive_of_a_newer_version_is_refused_before_anything_is_touched(
    case: Case, details: Mapping[str, str]
) -> None:
    source = case.backup()
    source.replace(DUMP, details=dict(details))
    with pytest.raises(VersionMismatch, match="nothing was touched"):
        case.store.restore(source, case.work)
    assert case.databases() == {DATABASE, "postgres", "template0", "template1"}


def test_an_archive_no_program_here_can_read_is_not_called_damaged(case: Case) -> None:
    source = case.backup()
    source.replace(DUMP, details={"dump_version": "99.1"})
    verdict = next(v for v in case.store.verify(source, case.work) if v.artifact == DUMP)
    assert verdict.state == "not verifiable here"


def test_a_dump_that_dies_midway_is_discarded(case: Case) -> None:
    def die() -> None:
        case.server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%'")

    case.sql('INSERT INTO "Odd na.me" SELECT generate_series(1, 300000);')
    sink = MemorySink()
    with pytest.raises(StoreError, match="terminating connection"):
        case.store.export(sink, replace(case.work, captured=die))
    assert DUMP not in sink.data


def test_a_server_that_dies_while_restoring_leaves_the_live_database(case: Case) -> None:
    small = case.store.fingerprint(case.work)

    def die() -> None:
        threading.Thread(target=_terminate_restore, args=(case.server,), daemon=True).start()

    case.sql('INSERT INTO "Odd na.me" SELECT generate_series(1, 400000);')
    source = case.backup()
    live = case.store.fingerprint(case.work)
    programs = Interfering(ServicePrograms(case.server, {}), "--exit-on-error", die)
    with pytest.raises(StoreError):
        RelationalStore(programs, DATABASE, "postgres").restore(source, case.work)
    assert live.differences(case.store.fingerprint(case.work)) == []
    assert small.differences(live)
    assert case.databases() == {DATABASE, "postgres", "template0", "template1"}


def _terminate_restore(server: Server) -> None:
    deadline = time.monotonic() + 30
    statement = ("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname ~ '_restore_' "
                 "AND query LIKE 'COPY%'")  # fmt: skip
    while time.monotonic() < deadline and server.sql(statement) == []:
        pass


def test_a_restored_database_that_differs_is_not_put_in_place(case: Case) -> None:
    """Something writes into the scratch database between loading and comparing."""
    source = case.backup()
    live = case.store.fingerprint(case.work)

    def spoil() -> None:
        for name in case.databases():
            if "_restore_" in name:
                case.server.sql("DELETE FROM nothing;", name)

    programs = Interfering(ServicePrograms(case.server, {}), "pg_dump", spoil)
    with pytest.raises(RestoreFailed, match="nothing: 1 expected, 0 found"):
        RelationalStore(programs, DATABASE, "postgres").restore(source, case.work)
    assert live.differences(case.store.fingerprint(case.work)) == []
    assert case.databases() == {DATABASE, "postgres", "template0", "template1"}


def test_roles_made_for_a_restore_that_fails_are_removed_again(case: Case) -> None:
    source = case.backup()
    case.sql("REASSIGN OWNED BY reader TO postgres; DROP OWNED BY reader;")
    case.server.sql("DROP ROLE reader;")

    def spoil() -> None:
        for name in case.databases():
            if "_restore_" in name:
                case.server.sql("DELETE FROM nothing;", name)

    programs = Interfering(ServicePrograms(case.server, {}), "pg_dump", spoil)
    with pytest.raises(RestoreFailed):
        RelationalStore(programs, DATABASE, "postgres").restore(source, case.work)
    assert "reader" not in case.server.sql("SELECT rolname FROM pg_roles")


def test_cancelling_a_restore_cleans_up(case: Case) -> None:
    source, cancel = case.backup(), Cancel()
    programs = Interfering(ServicePrograms(case.server, {}), "pg_dump", cancel.set)
    with pytest.raises(Cancelled):
        RelationalStore(programs, DATABASE, "postgres").restore(source, replace(case.work, cancel=cancel))
    assert cancel.passed < PROMPT
    assert case.databases() == {DATABASE, "postgres", "template0", "template1"}


def test_a_program_that_stands_still_is_ended_at_the_deadline(case: Case) -> None:
    with case.server.exec("postgres", ["psql", "-qXAt", "-d", DATABASE]) as client:
        client.stdin.write(b"BEGIN; LOCK TABLE kinds IN ACCESS EXCLUSIVE MODE; SELECT 'locked';\n")
        client.stdin.flush()
        assert client.stdout.readline() == b"locked\n"
        started = time.monotonic()
        with pytest.raises(StoreError):
            case.store.fingerprint(replace(case.work, deadline=1.0))
        assert time.monotonic() - started < 10


@contextmanager
def frozen(server: Server) -> Iterator[Callable[[], None]]:
    """Something that freezes the whole server, sessions and all; it goes on after the block."""
    halted: list[psutil.Process] = []

    def freeze() -> None:
        (postmaster,) = [p for p in psutil.process_iter() if _listens(p, server)]
        halted.append(postmaster)
        postmaster.suspend()  # first, so that no session is begun meanwhile
        for session in postmaster.children(recursive=True):
            halted.append(session)
            session.suspend()

    try:
        yield freeze
    finally:
        for process in reversed(halted):
            with suppress(psutil.NoSuchProcess):
                process.resume()


def _listens(process: psutil.Process, server: Server) -> bool:
    with suppress(psutil.Error):
        line = process.cmdline()
        return bool(line) and line[0].endswith("/postgres") and str(server.spec.cwd) in " ".join(line)
    return False


@pytest.mark.timeout(120)
@pytest.mark.parametrize("verb", ["describe", "fingerprint", "export"])
def test_a_frozen_server_is_given_up_at_the_first_question(case: Case, verb: str) -> None:
    work = replace(case.work, silence=1.0, deadline=600.0)
    verbs: dict[str, Callable[[], object]] = {
        "describe": case.store.describe,
        "fingerprint": lambda: case.store.fingerprint(work),
        "export": lambda: case.store.export(MemorySink(), work),
    }
    with frozen(case.server) as freeze, pytest.raises(StoreUnavailable, match="service postgres") as caught:
        freeze()
        started = time.monotonic()
        verbs[verb]()
    assert time.monotonic() - started < 20
    assert re.search("timeout expired|a second connection got no answer", str(caught.value))


@pytest.mark.timeout(120)
def test_a_server_that_freezes_in_the_middle_of_a_dump_is_given_up_long_before_the_deadline(case: Case) -> None:
    case.sql('INSERT INTO "Odd na.me" SELECT generate_series(1, 1000000);')
    sink = MemorySink()
    with frozen(case.server) as freeze, pytest.raises(StoreUnavailable) as caught:
        case.store.export(sink, replace(case.work, silence=1.0, deadline=600.0, captured=freeze))
    said = str(caught.value)
    assert "pg_dump stood still" in said and "a second connection got no answer either (service postgres)" in said
    assert re.search(r"nothing came for \d+ s", said) and "what to do" in said
    assert DUMP not in {artifact.name for artifact in sink.artifacts}


@pytest.mark.timeout(120)
def test_a_cancelled_dump_does_not_wait_for_a_frozen_server(case: Case) -> None:
    case.sql('INSERT INTO "Odd na.me" SELECT generate_series(1, 1000000);')
    cancel = Cancel()
    with frozen(case.server) as freeze:

        def freeze_and_cancel() -> None:
            freeze()
            threading.Timer(0.5, cancel.set).start()

        with pytest.raises(Cancelled):
            case.store.export(MemorySink(), replace(case.work, cancel=cancel, captured=freeze_and_cancel))
        assert cancel.passed < PROMPT


@pytest.mark.timeout(120)
@pytest.mark.parametrize("table", ["", "added"], ids=["the database", "a table under a new name"])
def test_a_cancelled_restore_on_a_frozen_server_ends_and_the_next_one_cleans_up(case: Case, table: str) -> None:
    """Frozen with a scratch database on it, which cannot be removed now."""
    case.sql('INSERT INTO "Odd na.me" SELECT generate_series(1, 200000);')
    source, cancel = case.backup(), Cancel()

    def restored(programs: Programs, work: Work) -> None:
        store = RelationalStore(programs, DATABASE, "postgres")
        (store.part('"Odd na.me"', table) if table else store).restore(source, work)

    with frozen(case.server) as freeze:

        def freeze_and_cancel() -> None:
            freeze()
            threading.Timer(0.5, cancel.set).start()

        programs = Interfering(ServicePrograms(case.server, {}), "pg_dump", freeze_and_cancel)
        with pytest.raises(Cancelled):
            restored(programs, replace(case.work, cancel=cancel))
        assert cancel.passed < PROMPT
    assert any("_restore_" in name for name in case.databases())
    restored(ServicePrograms(case.server, {}), case.work)
    assert case.databases() == {DATABASE, "postgres", "template0", "template1"}


@pytest.mark.timeout(120)
def test_an_index_that_takes_longer_than_every_deadline_is_work(case: Case) -> None:
    """Asked on another connection, the server shows the statement running: nothing is cut."""
    case.sql(
        "CREATE FUNCTION slow(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS "
        "$$ BEGIN PERFORM pg_sleep(6); RETURN x; END $$;"
        "CREATE TABLE slowly (x int); CREATE INDEX ON slowly (slow(x)); INSERT INTO slowly VALUES (1);"
    )
    source = case.backup()
    case.store.restore(source, replace(case.work, silence=1.0, deadline=2.0))
    assert case.sql("SELECT count(*) FROM slowly") == ["1"]


def test_a_server_that_is_down_is_named(tmp_path: Path) -> None:
    nobody = LocalPrograms(f"postgresql://me:s3cret@127.0.0.1:{any_free()}/db")
    with pytest.raises(StoreError, match="Connection refused") as caught:
        RelationalStore(nobody, "db", "me").describe()
    assert "s3cret" not in str(caught.value)


def test_no_password_is_on_a_command_line(server: Server) -> None:
    seen: list[Sequence[str]] = []

    class Recording:
        def exec(self, service: str, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> Exec:
            seen.append(command)
            return server.exec(service, command, env=env)

    store = RelationalStore(ServicePrograms(Recording(), {"PGPASSWORD": "only-for-tests"}), "postgres", "postgres")
    store.describe()
    assert seen and not any("only-for-tests" in argument for command in seen for argument in command)
