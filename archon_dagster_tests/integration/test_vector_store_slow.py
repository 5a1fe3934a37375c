"""Backup and restore of vectors while the server is slow, mute or full: a clear error, and nothing left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from archon_dagster.errors import Cancelled, StoreError, StoreUnavailable
from archon_dagster.stores.base import Work
from archon_dagster.stores.vectors import loading, verification
from archon_dagster.stores.vectors.client import Client
from archon_dagster.stores.vectors.loading import Candidate
from archon_dagster.stores.vectors.store import VectorStore
from archon_dagster.stores.vectors.transport import Transport
from archon_dagster_tests.artifacts import MemorySink, MemorySource
from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.integration.slow_proxy import Fault, How, Proxy, in_front_of
from archon_dagster_tests.integration.store_server import StoreServer
from archon_dagster_tests.prompt import PROMPT, Cancel

pytestmark = [pytest.mark.sandbox, pytest.mark.long]
pytest.importorskip("qdrant_edge")

NAME, OTHER = "archon_vectors", "quality_vectors"
CREATE, DOWNLOAD, UPLOAD = (
    ("POST", f"/collections/{NAME}/snapshots"),
    ("GET", f"/collections/{NAME}/snapshots/.+"),
    ("POST", f"/collections/{NAME}/snapshots/upload"),
)
POINTS = 30  # large ones: the snapshot must be larger than what the buffers of a connection take
DEADLINE = 1.5


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    started = StoreServer(tmp_path_factory.mktemp("slow") / "server").start()
    try:
        started.fill(NAME, 0)
        points = [{"id": n, "vector": [1.0] * 8, "payload": {"text": "x" * 200_000}} for n in range(POINTS)]
        started.call("PUT", f"/collections/{NAME}/points?wait=true", {"points": points})
        started.fill(OTHER, 5)
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="module")
def source(server: StoreServer, tmp_path_factory: pytest.TempPathFactory) -> MemorySource:
    """A backup of the server, made when it was well."""
    sink = MemorySink()
    VectorStore(server.url).export(sink, Work(scratch=tmp_path_factory.mktemp("scratch"), deadline=60.0))
    return sink.source(vectors=f"qdrant {server.version}")


@pytest.fixture
def proxy(server: StoreServer, source: MemorySource) -> Iterator[Proxy]:
    with in_front_of(server.url) as between:
        yield between
    assert server.snapshot_files == []
    assert server.names() == [NAME, OTHER]
    assert server.count(NAME) == POINTS


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    (tmp_path / "scratch").mkdir()
    yield Work(scratch=tmp_path / "scratch", deadline=DEADLINE)


def store(proxy: Proxy) -> VectorStore:
    return VectorStore(proxy.url, cleanup=10.0)


def fault(proxy: Proxy, request: tuple[str, str], how: How) -> None:
    proxy.faults.append(Fault(*request, how))


@pytest.mark.parametrize("how", ["trickles down", "answers nothing"])
def test_a_backup_whose_download_does_not_move_fails_by_name(proxy: Proxy, work: Work, how: How) -> None:
    fault(proxy, DOWNLOAD, how)
    sink = MemorySink()
    with pytest.raises(StoreUnavailable, match=f"the download of {NAME} has stalled at"):
        store(proxy).export(sink, work)
    assert sink.artifacts == []
    assert list(work.scratch.iterdir()) == []
    assert proxy.hung_up.wait(2.0)


def test_a_backup_whose_snapshot_is_made_but_never_named_removes_it(proxy: Proxy, work: Work) -> None:
    fault(proxy, CREATE, "is not heard")
    with pytest.raises(StoreUnavailable, match=f"no snapshot of {NAME}: Qdrant does not answer"):
        store(proxy).export(MemorySink(), work)


@pytest.mark.parametrize("how", ["trickles up", "answers nothing", "is not heard"])
def test_a_restore_whose_upload_is_not_taken_or_not_answered_fails_by_name(
    proxy: Proxy, source: MemorySource, work: Work, how: How
) -> None:
    fault(proxy, UPLOAD, how)
    with pytest.raises(StoreUnavailable, match=f"restoring collection {NAME} stopped half way") as caught:
        store(proxy).restore(source, replace(work, deadline=1.0))
    assert ("too slow" if how == "trickles up" else "no answer within") in str(caught.value)
    assert proxy.hung_up.wait(2.0)


def cancelled_after_meeting(proxy: Proxy, work: Work, run: Callable[[Work], None]) -> float:
    """Seconds from the cancel, given when the fault is met, until the run has ended."""
    cancel = Cancel()

    def stop() -> None:
        proxy.met.wait(30.0)
        cancel.set()

    waiting = threading.Thread(target=stop)
    waiting.start()
    with pytest.raises(Cancelled):
        run(replace(work, cancel=cancel, deadline=60.0))
    taken = cancel.passed
    waiting.join()
    return taken


@pytest.mark.parametrize("how", ["trickles down", "answers nothing"])
def test_a_cancelled_download_ends_at_once(proxy: Proxy, work: Work, how: How) -> None:
    fault(proxy, DOWNLOAD, how)
    assert cancelled_after_meeting(proxy, work, lambda w: store(proxy).export(MemorySink(), w)) < PROMPT
    assert proxy.hung_up.wait(2.0)


def test_a_cancelled_upload_that_is_not_taken_ends_at_once(proxy: Proxy, source: MemorySource, work: Work) -> None:
    fault(proxy, UPLOAD, "trickles up")
    assert cancelled_after_meeting(proxy, work, lambda w: store(proxy).restore(source, w)) < PROMPT
    assert proxy.hung_up.wait(2.0)


@pytest.fixture
def noted(proxy: Proxy, tmp_path: Path) -> VectorStore:
    """With a ledger, and as much patience in cleaning up as in production."""
    return VectorStore(proxy.url, ledger=tmp_path / "ledger.json")


@contextmanager
def frozen_at(proxy: Proxy, server: StoreServer, request: tuple[str, str]) -> Iterator[None]:
    """The server is frozen with such a request on its way; afterwards it goes on, and the next one is as ever."""
    proxy.stop = server.freeze
    fault(proxy, request, "is stopped")
    try:
        yield
    finally:
        proxy.faults.clear()
        server.thaw()


def test_a_cancel_does_not_wait_for_a_server_frozen_at_its_snapshot_and_the_next_backup_removes_it(
    proxy: Proxy, server: StoreServer, noted: VectorStore, work: Work
) -> None:
    with frozen_at(proxy, server, CREATE):
        assert cancelled_after_meeting(proxy, work, lambda w: noted.export(MemorySink(), w)) < PROMPT
    sink = MemorySink()
    noted.export(sink, replace(work, deadline=60.0))
    assert "left_on_server" not in sink.source().one("qdrant/collections").details
    assert server.snapshot_files == []


@pytest.mark.parametrize("how", ["is not heard", "answers nothing"])
def test_a_cancelled_snapshot_whose_answer_does_not_come_is_left_to_the_next_backup(
    proxy: Proxy, server: StoreServer, noted: VectorStore, work: Work, how: How
) -> None:
    fault(proxy, CREATE, how)
    assert cancelled_after_meeting(proxy, work, lambda w: noted.export(MemorySink(), w)) < PROMPT
    proxy.faults.clear()
    noted.export(MemorySink(), replace(work, deadline=60.0))
    assert server.snapshot_files == []


def test_a_cancel_while_a_snapshot_is_downloaded_from_a_frozen_server_is_left_to_the_next_backup(
    proxy: Proxy, server: StoreServer, noted: VectorStore, work: Work
) -> None:
    with frozen_at(proxy, server, DOWNLOAD):
        assert cancelled_after_meeting(proxy, work, lambda w: noted.export(MemorySink(), w)) < PROMPT
        assert len(server.snapshot_files) == 2
    noted.export(MemorySink(), replace(work, deadline=60.0))
    assert server.snapshot_files == []


def test_a_cancelled_trial_load_is_left_to_the_next_backup(
    proxy: Proxy, server: StoreServer, source: MemorySource, noted: VectorStore, work: Work
) -> None:
    """The file is sent whole, and loaded, but nothing is heard of it."""
    artifact, file = source.one(f"qdrant/{NAME}"), work.scratch / "trial.snapshot"
    contents = verification.fetch(source, artifact, file, work)
    candidate = Candidate(NAME, file, artifact.sha256, contents, POINTS)

    def load(cancelled: Work) -> None:
        with Transport(proxy.url, None) as transport:
            loading.trial(Client(transport, cancelled.check), candidate, cancelled, 60.0)

    fault(proxy, ("POST", f"/collections/{NAME}__archon_trial_[0-9a-f]+/snapshots/upload"), "is not heard")
    assert cancelled_after_meeting(proxy, work, load) < PROMPT
    proxy.faults.clear()
    eventually(lambda: len(server.names()) == 3, 30.0)  # the server has gone on by itself
    noted.export(MemorySink(), replace(work, deadline=60.0))
    assert server.names() == [NAME, OTHER]


def test_a_cancelled_restore_waits_until_the_server_has_loaded_what_it_received_whole(
    proxy: Proxy, server: StoreServer, source: MemorySource, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What puts the old data back must not meet it; a server that does not come back is not waited for without end."""
    monkeypatch.setattr(loading, "_RECOVERY", 3.0)
    fault(proxy, UPLOAD, "is not heard")
    taken = cancelled_after_meeting(proxy, work, lambda w: store(proxy).restore(source, w))
    assert 3.0 <= taken < 3.0 + PROMPT


def test_a_server_without_room_for_a_snapshot_is_named_with_what_to_do(proxy: Proxy, work: Work) -> None:
    fault(proxy, CREATE, "has no room")
    sink = MemorySink()
    with pytest.raises(StoreError, match=f"no snapshot of {NAME}: .* 500 .*No space left on device") as caught:
        store(proxy).export(sink, replace(work, deadline=60.0))
    assert "free disk space on the server's volume" in (caught.value.todo or "")
    assert sink.artifacts == []
