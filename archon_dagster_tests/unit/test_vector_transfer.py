"""Transfers that hardly move, against a small server that misbehaves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from archon_dagster.errors import StoreError, StoreUnavailable
from archon_dagster.stores.base import Work
from archon_dagster.stores.vectors import download
from archon_dagster.stores.vectors.client import Client, ServerSnapshot
from archon_dagster.stores.vectors.transport import Transport
from archon_dagster.stores.vectors.waiting import FLOOR, WINDOW, Pace, Stalled
from archon_dagster_tests.artifacts import MemoryWriter

MEGABYTE = 1 << 20


class Misbehaving(BaseHTTPRequestHandler):
    """What the last part of the path says."""

    def do_GET(self) -> None:
        {"whole": self._whole, "breaks": self._breaks, "trickles": self._trickles}[self.path.rpartition("/")[2]]()

    def _begin(self, size: int) -> None:
        self.send_response(200)
        self.send_header("content-length", str(size))
        self.end_headers()

    def _whole(self) -> None:
        self._begin(MEGABYTE)
        self.wfile.write(bytes(MEGABYTE))

    def _breaks(self) -> None:
        self._begin(MEGABYTE)
        self.wfile.write(b"0")

    def _trickles(self) -> None:
        self._begin(MEGABYTE)
        pause = threading.Event()
        for _ in range(200):
            self.wfile.write(b" ")
            pause.wait(0.05)

    def log_message(self, *_: object) -> None: ...


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None: ...


@pytest.fixture
def transport() -> Iterator[Transport]:
    with Server(("127.0.0.1", 0), Misbehaving) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            with Transport(f"http://127.0.0.1:{server.server_port}", None) as opened:
                yield opened
        finally:
            server.shutdown()
            thread.join()


def copy(transport: Transport, name: str, size: int, writer: MemoryWriter, work: Work) -> None:
    download.copy(Client(transport), ServerSnapshot("c", name, size, None), writer, None, work, lambda _: None)


def test_a_transfer_that_moves_enough_goes_on() -> None:
    pace = Pace()
    for _ in range(5):
        pace.moved(FLOOR)
        pace.waited(WINDOW)


def test_a_transfer_that_moves_too_little_has_stalled() -> None:
    pace = Pace(10.0)
    pace.moved(FLOOR)
    pace.waited(10.0)
    pace.moved(FLOOR - 1)
    pace.waited(9.9)
    with pytest.raises(Stalled, match="65535 of the 65536 bytes that were expected in 10 s"):
        pace.waited(0.1)


def test_the_window_is_not_longer_than_the_run_may_wait() -> None:
    assert (Pace(3.0).window, Pace(9999.0).window) == (3.0, WINDOW)


def test_our_own_slowness_is_not_held_against_the_server(transport: Transport) -> None:
    pace, slow, received = Pace(0.4), threading.Event(), 0
    for piece in transport.download("/whole", 0, lambda: None, pace):
        if received < FLOOR:
            slow.wait(0.5)
        received += len(piece)
    assert received == MEGABYTE


def test_a_connection_that_breaks_again_and_again_is_given_up_in_the_end(transport: Transport, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"the download of c has stalled at 1 of 1048576 bytes") as caught:
        copy(transport, "breaks", MEGABYTE, MemoryWriter(), Work(scratch=tmp_path, deadline=1.5))
    assert "whenever the connection broke, at last: Qdrant does not answer" in (caught.value.tried or "")


def test_an_answer_that_trickles_does_not_outlast_the_patience(transport: Transport) -> None:
    with pytest.raises(StoreUnavailable, match="too slow: the answer is not complete after 1 s"):
        transport.request("GET", "/trickles", patience=0.5)


def test_a_download_longer_than_announced_is_refused(transport: Transport, tmp_path: Path) -> None:
    work = Work(scratch=tmp_path, deadline=1.5)
    with pytest.raises(StoreError, match=r"c was not copied faithfully: \d+ bytes came, the server said 10"):
        copy(transport, "whole", 10, MemoryWriter(), work)
