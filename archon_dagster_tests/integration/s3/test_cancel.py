"""A server that says nothing any more does not keep anybody: a cancel is heard at once, wherever the work waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from archon_dagster.errors import ArchonError, Cancelled, RepositoryError
from archon_dagster.repository.backends.s3.backend import S3Backend
from archon_dagster.repository.manifest import Manifest
from archon_dagster.repository.repository import Repository
from archon_dagster.stores.base import Work
from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.integration.s3.faulty_proxy import FaultyProxy
from archon_dagster_tests.integration.s3.servers import KINDS, Server
from archon_dagster_tests.prompt import PROMPT
from archon_dagster_tests.unit.repository.conftest import Clock, back_up, read_back, window

pytestmark = pytest.mark.long

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SOON = 6.0  # seconds: long before the 20 after which a silent server is given up


class Case:
    """A repository behind a proxy, its cancel event, and a backup in it."""

    def __init__(self, server: Server, proxy: FaultyProxy):
        self.proxy, self.cancel = proxy, threading.Event()
        # patience as in production: what ends in time does so because of the cancel alone
        self.backend = server.at(proxy.endpoint).backend(ARCHON_S3_READ_TIMEOUT=20, ARCHON_S3_ATTEMPTS=5)
        self.repository = Repository.on(self.backend, create=True, check=self.check)
        self.clock = Clock()
        self.backup = back_up(self.repository, {"a": CONTENT, "b": CONTENT[::-1]}, clock=self.clock)
        proxy.requests.clear()

    def check(self) -> None:
        if self.cancel.is_set():
            raise Cancelled("cancelled on request")

    def when_silent(self, action: Callable[[], object], *, method: str, containing: str = "") -> float:
        """Run the action on a server that falls silent at such a request, cancel it then; the seconds it took."""
        self.proxy.fail("silence", method=method, containing=containing)
        began: list[float] = []

        def cancel() -> None:
            eventually(lambda: any(r.startswith(method) and containing in r for r in self.proxy.requests), 30)
            self.proxy.fail("silence")
            began.append(time.monotonic())
            self.cancel.set()

        canceller = threading.Thread(target=cancel)
        canceller.start()
        try:
            with pytest.raises(Cancelled):
                action()
            return time.monotonic() - began[0]
        finally:
            canceller.join()
            self.proxy.mend()
            self.cancel.clear()

    def backups(self) -> list[str]:
        return [entry.id for entry in self.repository.backups() if entry.state == "complete"]


@pytest.fixture(params=KINDS)
def case(request: pytest.FixtureRequest, servers: dict[str, Server]) -> Iterator[Case]:
    server = servers[request.param]
    with FaultyProxy(server.endpoint) as proxy:
        found = Case(server, proxy)
        yield found
        proxy.end.set()
        found.backend.close()


@pytest.mark.parametrize(
    ("method", "containing"),
    [
        ("GET", "list-type"),  # looking who holds the lock
        ("PUT", "locks/platform"),  # taking it
        ("PUT", "incomplete"),  # the marker
        ("PUT", "/chunks/"),
        ("PUT", ".json"),  # the first is the lock's, else the manifest's
    ],
)
def test_a_backup_on_a_silent_server_ends_with_the_cancel(case: Case, method: str, containing: str) -> None:
    def backup() -> None:
        back_up(case.repository, {"new": CONTENT * 3, "c": b"c"}, clock=case.clock)

    assert case.when_silent(backup, method=method, containing=containing) < PROMPT
    assert case.backups() == [case.backup.id]


def test_a_backup_whose_manifest_is_on_its_way_ends_with_the_cancel_and_is_none(case: Case) -> None:
    with case.repository.lock("test", lease=5) as lease:

        def backup() -> None:
            with case.repository.begin("manual", lease=lease, clock=case.clock) as pending:
                with pending.artifact("vectors", "new", "k", media_type="x/y", cut="whole") as artifact:
                    artifact.write(CONTENT[:100])
                pending.seal(window=window(), versions={})

        assert case.when_silent(backup, method="PUT", containing="backups/2026") < PROMPT
    assert case.backups() == [case.backup.id]


def test_a_manifest_that_was_written_when_the_cancel_came_is_taken_back(case: Case) -> None:
    case.proxy.latency = 0.1

    def backup() -> None:
        with case.repository.begin("manual", clock=case.clock) as pending:
            with pending.artifact("vectors", "new", "k", media_type="x/y", cut="whole") as artifact:
                artifact.write(CONTENT[:100])
            canceller.start()
            pending.seal(window=window(), versions={})

    def cancel() -> None:
        eventually(lambda: any(r.startswith("PUT") and r.endswith(".json") and "backups/" in r
                               for r in case.proxy.requests), 30)  # fmt: skip
        case.cancel.set()

    canceller = threading.Thread(target=cancel)
    with pytest.raises(Cancelled):
        backup()
    canceller.join()
    case.cancel.clear()
    case.proxy.latency = 0
    assert case.backups() == [case.backup.id]
    assert case.repository.holder() is None


def test_reading_on_a_silent_server_ends_with_the_cancel(case: Case, work: Work, tmp_path: Path) -> None:
    manifest = case.repository.manifest(case.backup.id)
    actions: dict[str, Callable[[], object]] = {
        "read": lambda: read_back(case.repository, manifest),
        "verify": lambda: case.repository.verify(manifest.id, work),
        "export": lambda: case.repository.export(manifest, tmp_path / "out", work),
    }
    taken = {name: case.when_silent(do, method="GET", containing="/chunks/") for name, do in actions.items()}
    listed = case.when_silent(case.repository.backups, method="GET", containing="backups")
    assert max(*taken.values(), listed) < PROMPT, taken
    assert list(tmp_path.glob("*out*")) == []


def test_a_chunk_that_fails_does_not_wait_for_those_the_server_is_silent_about(case: Case) -> None:
    case.proxy.fail("denied", method="PUT", containing="/chunks/", times=1)
    case.proxy.fail("silence", method="PUT", containing="/chunks/")
    began = time.monotonic()
    with (
        pytest.raises(RepositoryError, match="denied"),
        case.repository.begin("manual", clock=case.clock) as pending,
        pending.artifact("vectors", "new", "k", media_type="x/y", cut="content") as artifact,
    ):
        for number in range(30):
            artifact.write(bytes([number]) * (4 << 20))
    assert time.monotonic() - began < SOON
    case.proxy.mend()


def test_a_reader_that_stops_early_does_not_wait_for_what_it_read_ahead(case: Case) -> None:
    case.proxy.fail("silence", method="GET", containing="/chunks/")
    stream = case.repository.source(case.backup).open(case.backup.artifacts[0])
    reader = threading.Thread(target=_until_it_ends, args=(stream.read,))
    reader.start()
    eventually(lambda: any("/chunks/" in request for request in case.proxy.requests), 10)
    began = time.monotonic()
    stream.close()
    reader.join(10)
    assert time.monotonic() - began < SOON


def _until_it_ends(read: Callable[[], bytes]) -> None:
    with pytest.raises((ArchonError, ValueError)):
        read()


def test_nothing_is_sent_any_more_for_a_run_that_was_cancelled(case: Case) -> None:
    def backup() -> None:
        back_up(case.repository, {"new": CONTENT * 3}, clock=case.clock)

    case.when_silent(backup, method="PUT", containing="/chunks/")
    eventually(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("chunk")], 5)
    seen = len([request for request in case.proxy.requests if request.startswith("PUT")])
    case.proxy.end.set()  # the silent requests break off, which a client would answer with a repetition
    eventually(lambda: not [thread for thread in threading.enumerate() if thread.name == "storage"], 30)
    assert len([request for request in case.proxy.requests if request.startswith("PUT")]) == seen


def test_the_next_backup_works_after_a_cancel_on_a_silent_server(case: Case, work: Work) -> None:
    def backup() -> None:
        with (
            case.repository.lock("cancelled", lease=2) as lease,
            case.repository.begin("manual", lease=lease, clock=case.clock) as pending,
            pending.artifact("vectors", "new", "k", media_type="x/y", cut="whole") as artifact,
        ):
            artifact.write(CONTENT * 3)

    case.when_silent(backup, method="PUT", containing="/chunks/")
    eventually(lambda: case.repository.holder() is None, 10)  # it could not be given back
    after: Manifest = back_up(case.repository, {"new": CONTENT * 3}, clock=case.clock)
    assert case.repository.verify(after.id, work).passed
    assert {entry.state for entry in case.repository.backups()} == {"complete"}


def test_an_unchanged_compressed_backup_asks_for_no_chunk(case: Case) -> None:
    text = {"t": b"".join(b"line %d of a text that compresses\n" % number for number in range(100_000))}
    back_up(case.repository, text, clock=case.clock)
    case.proxy.requests.clear()
    assert back_up(case.repository, text, clock=case.clock).bytes_added == 0
    assert [request for request in case.proxy.requests if "/chunks/" in request] == []


def test_a_backend_without_a_caller_that_may_stop_is_as_before(case: Case) -> None:
    assert isinstance(case.backend, S3Backend)
    assert case.backend.heeding(lambda: None).get("config.json").data == case.backend.get("config.json").data
