"""A restore that meets a broken wire or a full disk: the error says so, and what was there is there again."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import neo4j
import psutil
import pytest

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.context import OperationContext, Step, open_context
from archon_dagster.errors import RestoreFailed
from archon_dagster.repository.manifest import Fingerprint, Manifest
from archon_dagster.restore.journal import JournalFile
from archon_dagster.restore.restore import RestoreRequest, restore_backup
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster.sandbox.seed import seed
from archon_dagster.stores.base import StoreName
from archon_dagster.stores.vectors.store import VectorStore
from archon_dagster_tests.integration.broken_wire import broken_wire
from archon_dagster_tests.platforms import lifecycle, only_processes, running_platform

pytestmark = [pytest.mark.sandbox, pytest.mark.long, pytest.mark.timeout(300)]

MIB = 1 << 20
BALLAST = 48  # MiB that a store holds when it is backed up, and no longer when it is restored
ROOM = {"vectors": 96, "relational": 24, "graph": 24}  # MiB that a disk has left: enough to load all but the ballast
LARGEST = 40  # MiB that a file may have: the ballast's is larger
VOLUME = 512  # MiB of the small volume on which real servers keep their data
SAYS = {"vectors": "{}", "relational": "{}\nHINT:  Check free disk space"}
SERVICE = {"vectors": "qdrant", "relational": "postgres"}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    yield from _running(tmp_path_factory.mktemp("restore-faults"))


@pytest.fixture(scope="module")
def small_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox whose servers keep their data on a small volume of its own."""
    home = tmp_path_factory.mktemp("small")
    with volume(home / "data", VOLUME):
        yield from _running(home)


def _running(home: Path) -> Iterator[Sandbox]:
    with running_platform(home) as made:
        seed(made.settings, made.runtime, limit=12, max_points=60)
        yield made


@contextmanager
def volume(path: Path, mebibytes: int) -> Iterator[Path]:
    """A file system of that size at ``path``, gone afterwards; a test that cannot have one is skipped."""
    path.mkdir(parents=True, exist_ok=True)
    if sys.platform != "linux":
        pytest.skip("only on Linux: a small file system in memory")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=0755", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def add_ballast(platform: Sandbox, store: StoreName) -> None:
    if store == "vectors":
        with httpx.Client(base_url=platform.settings.qdrant_url, timeout=60.0) as client:
            made = client.put("/collections/ballast", json={"vectors": {"size": 4, "distance": "Dot"}})
            made.raise_for_status()
            for number in range(BALLAST // 2):
                points = [{"id": number, "vector": [1, 2, 3, 4], "payload": {"text": os.urandom(MIB).hex()}}]
                client.put("/collections/ballast/points?wait=true", json={"points": points}).raise_for_status()
    elif store == "graph":
        for _ in range(BALLAST):
            rows = [{"text": os.urandom(16 << 10).hex()} for _ in range(32)]
            cypher(platform, "UNWIND $rows AS r CREATE (n:Ballast) SET n = r", rows=rows)
    else:
        rows = BALLAST * MIB // 1600
        sql(platform, f"CREATE TABLE ballast AS SELECT i, repeat(md5(i::text), 50) FROM generate_series(1, {rows}) i")


def remove_ballast(platform: Sandbox, store: StoreName) -> None:
    if store == "vectors":
        gone = httpx.delete(f"{platform.settings.qdrant_url}/collections/ballast", timeout=60.0)
        assert gone.status_code in (200, 404), gone.text
    elif store == "graph":
        cypher(platform, "MATCH (n:Ballast) DETACH DELETE n")
    else:
        sql(platform, "DROP TABLE IF EXISTS ballast")
        sql(platform, "CHECKPOINT")


def sql(platform: Sandbox, statement: str) -> list[str]:
    with platform.runtime.exec("postgres", ["psql", "-qXAt", "-v", "ON_ERROR_STOP=1", "-c", statement]) as command:
        command.stdin.close()
        lines = command.stdout.read().decode().splitlines()
        assert command.wait(60.0) == 0, command.stderr_tail()
    return lines


def cypher(platform: Sandbox, statement: str, **parameters: object) -> None:
    settings = platform.settings
    login = (settings.memgraph_user, settings.memgraph_password.get_secret_value())
    with neo4j.GraphDatabase.driver(settings.memgraph_uri, auth=login if any(login) else None) as driver:
        driver.execute_query(statement, parameters, database_=settings.memgraph_database)


def impatient(platform: Sandbox) -> OperationContext:
    """The platform's context; a vector server that is gone is not waited for, to clean it, as long as usual."""
    context, settings = open_context(platform.settings), platform.settings
    vectors = VectorStore(settings.qdrant_url, ledger=settings.home / "state" / "ledger.json", cleanup=3.0)
    return replace(context, stores={**context.stores, "vectors": vectors})


@cache
def backup_with_ballast(platform: Sandbox, store: StoreName) -> Manifest:
    add_ballast(platform, store)
    return take_backup(open_context(platform.settings), BackupRequest(stores=(store,))).manifest


class Case:
    """A platform whose backup holds more of one store than is there now."""

    def __init__(self, platform: Sandbox, store: StoreName):
        self.platform, self.store = platform, store
        lifecycle.up(platform.home, owner_pid=os.getpid())  # the test before may have ended a server
        self.context = impatient(platform)
        self.backup = backup_with_ballast(platform, store)
        remove_ballast(platform, store)
        self.before = self.fingerprint()

    def fingerprint(self) -> Fingerprint:
        with self.context.work() as work:
            return self.context.stores[self.store].fingerprint(work)

    def restore(self, context: OperationContext) -> None:
        restore_backup(context, RestoreRequest(self.backup.id, "RESTORE", only=(self.store,)))

    def refuse(self, fault: Callable[[], None] | None = None, context: OperationContext | None = None) -> str:
        """Restore, with ``fault`` happening when the store's turn comes; returns what the operator reads."""

        def news(one: object) -> None:
            if fault is not None and isinstance(one, Step) and (one.name, one.seconds) == (self.step, None):
                fault()

        with pytest.raises(RestoreFailed) as failure:
            self.restore(context or replace(self.context, report=news))
        return str(failure.value)

    @property
    def step(self) -> str:
        return f"restore {self.store}"

    def assert_as_it_was(self, said: str) -> None:
        """What was there is there, nothing else is, and the operator knows what happened and what to type."""
        assert f"failed at '{self.step}'; {self.store} put back" in said
        assert "identical" in said
        assert f"archon restore {self.backup.id} --confirm RESTORE --only {self.store}" in said
        self.assert_all_is_well()

    def assert_all_is_well(self) -> None:
        assert self.fingerprint() == self.before
        assert JournalFile(self.platform.settings).read() is None
        assert {status.service: status.state for status in self.platform.runtime.status()} == dict.fromkeys(
            self.platform.services, "running"
        )
        assert residue(self.platform) == []


def residue(platform: Sandbox) -> list[str]:
    """What a restore may have left: files of the vector server, scratch databases, scratch files."""
    vectors = (platform.home / "data" / "qdrant").rglob("*")
    files = [str(path) for path in vectors if path.suffix == ".snapshot" or path.name.startswith("archon-restore-")]
    with httpx.Client(base_url=platform.settings.qdrant_url, timeout=10) as client:
        names = [str(entry["name"]) for entry in client.get("/collections").json()["result"]["collections"]]
    databases = set(sql(platform, "SELECT datname FROM pg_database")) - {"postgres", "template0", "template1"}
    scratch = [str(path) for path in (platform.home / "scratch").iterdir()]
    return [*files, *(n for n in names if "trial" in n), *databases - {platform.settings.postgres_db}, *scratch]


@contextmanager
def files_limited(service: str, platform: Sandbox) -> Iterator[Callable[[], None]]:
    """A way to let no file of a server grow beyond ``LARGEST``, as if its disk were full; undone afterwards."""
    if sys.platform != "linux":
        pytest.skip("only on Linux: a limit for a process that runs")
    server = psutil.Process(int(next(one.instance for one in platform.runtime.status() if one.service == service)))
    members = [server, *server.children(recursive=True)]
    _, most = server.rlimit(psutil.RLIMIT_FSIZE)

    def limit(soft: int) -> None:
        for member in members:
            if member.is_running():
                member.rlimit(psutil.RLIMIT_FSIZE, (soft, most))

    try:
        yield lambda: limit(LARGEST * MIB)
    finally:
        limit(most)


@contextmanager
def own_files_limited() -> Iterator[Callable[[], None]]:
    """A way to let no file that this process writes grow beyond ``LARGEST``."""
    soft, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST * MIB, most))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, most))


@contextmanager
def filled(where: Path, room: int) -> Iterator[Callable[[], None]]:
    """A way to fill a volume but for ``room``; emptied afterwards."""
    filler = where / "filler"

    def fill() -> None:
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(where).free - room * MIB)

    try:
        yield fill
    finally:
        filler.unlink(missing_ok=True)


def test_an_upload_that_arrives_damaged_is_refused_by_the_server_and_put_back(platform: Sandbox) -> None:
    case = Case(platform, "vectors")
    server = urlsplit(platform.settings.qdrant_url)
    with broken_wire(str(server.hostname), server.port or 0) as wire:
        context = open_context(platform.settings.model_copy(update={"qdrant_url": wire.url}))
        said = case.refuse(context=context)
        assert wire.spoilt == 1
    assert "checksum" in said.lower()
    case.assert_as_it_was(said)
    case.restore(case.context)
    assert case.fingerprint() == case.backup.fingerprint("vectors")


@only_processes("what is limited is a process of this machine")
@pytest.mark.skipif("ARCHON_SANDBOX_QDRANT" in os.environ, reason="a killed server: does not hold on a real server")
@pytest.mark.parametrize("store", ["vectors", "relational"])
def test_a_server_that_cannot_write_more_has_its_old_data_again(platform: Sandbox, store: StoreName) -> None:
    case = Case(platform, store)
    with files_limited(SERVICE[store], platform) as limit:
        said = case.refuse(limit)
        assert SAYS[store].format("File too large") in said
        case.assert_as_it_was(said)


@pytest.mark.parametrize("store", ["vectors", "relational"])
def test_a_server_whose_disk_is_full_has_its_old_data_again(small_platform: Sandbox, store: StoreName) -> None:
    case = Case(small_platform, store)
    with filled(small_platform.home / "data", ROOM[store]) as fill:
        said = case.refuse(fill)
        assert SAYS[store].format("No space left on device") in said
        case.assert_as_it_was(said)


@pytest.mark.skipif("ARCHON_SANDBOX_MEMGRAPH" in os.environ, reason="does not hold on a real server: it is in memory")
def test_a_graph_server_whose_disk_is_full_says_what_to_do_and_that_brings_the_old_data_back(
    small_platform: Sandbox,
) -> None:
    """Without room it cannot even delete, so what was there cannot be put back before there is some."""
    case = Case(small_platform, "graph")
    with filled(small_platform.home / "data", ROOM["graph"]) as fill:
        said = case.refuse(fill)
    assert f"failed at '{case.step}' and not everything could be put back: graph: " in said
    assert "the first thing to look at is the free space on its volume" in said
    assert "the services that write stay stopped" in said
    (way_back,) = re.findall(r"go back: archon restore (\S+) --confirm RESTORE", said)
    restore_backup(case.context, RestoreRequest(way_back, "RESTORE"))
    case.assert_all_is_well()


def test_a_scratch_directory_that_takes_no_more_leaves_everything_as_it_was(platform: Sandbox) -> None:
    case = Case(platform, "vectors")
    with own_files_limited() as limit:
        said = case.refuse(limit)
    assert "cannot be copied to scratch" in said
    assert "free space there" in said
    case.assert_as_it_was(said)


@pytest.mark.parametrize("room", [LARGEST, 0], ids=["room for the old data", "no room at all"])
def test_a_full_scratch_disk_leaves_everything_as_it_was(platform: Sandbox, room: int) -> None:
    case = Case(platform, "vectors")
    with volume(platform.home / "scratch", 8 * BALLAST) as scratch:
        with filled(scratch, room) as fill:
            said = case.refuse(fill)
        assert "MiB of scratch" in said
        assert "free space there" in said
        case.assert_as_it_was(said)
