"""The sandbox's S3 server: there when asked for, gone with whoever asked, and atomic where a lock relies on it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from archon_dagster.repository.backends.base import ObjectExists
from archon_dagster.repository.backends.opening import open_backend
from archon_dagster.sandbox.s3.running import object_storage
from archon_dagster_tests.eventually import eventually

pytest.importorskip("moto", reason="moto is not installed (archon-dagster[sandbox])")


def test_its_variables_make_it_the_place_of_the_backups(monkeypatch: pytest.MonkeyPatch) -> None:
    with object_storage() as storage:
        for name, value in storage.environment.items():
            monkeypatch.setenv(name, value)
        backend = open_backend(storage.environment["ARCHON_REPOSITORY"])
        backend.put("a/b", b"content")
        assert backend.get("a/b").data == b"content"
    assert not psutil.pid_exists(storage.pid)


def test_of_many_who_create_an_object_there_one_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    with object_storage() as storage:
        for name, value in storage.environment.items():
            monkeypatch.setenv(name, value)
        backend = open_backend(storage.environment["ARCHON_REPOSITORY"])
        backend.now()
        for round_ in range(5):
            start = threading.Barrier(8)

            def create(number: int, round_: int = round_, start: threading.Barrier = start) -> bool:
                start.wait(30)
                try:
                    backend.put(f"locks/{round_}", str(number).encode(), if_absent=True)
                except ObjectExists:
                    return False
                return True

            with ThreadPoolExecutor(8) as threads:
                assert sum(threads.map(create, range(8))) == 1


def test_it_ends_with_whoever_started_it() -> None:
    code = (
        "from archon_dagster.sandbox.s3.running import object_storage\n"
        "with object_storage() as storage: print(storage.pid, flush=True); input()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdin and parent.stdout
    server = int(parent.stdout.readline())
    assert psutil.pid_exists(server)
    parent.send_signal(signal.SIGKILL)
    parent.wait(30)
    parent.stdin.close()
    parent.stdout.close()
    eventually(lambda: not psutil.pid_exists(server) or psutil.Process(server).status() == psutil.STATUS_ZOMBIE)
