"""Start the sandbox's vector server as a process of its own, and ask it things."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import httpx

from archon_dagster.sandbox.vectors.command import command

START_BUDGET = 20.0
DEADLINE = 30.0


def wait_until(condition: Callable[[], Any], *, what: str, budget: float = DEADLINE) -> Any:
    """The first true value of ``condition``."""
    deadline, pause = time.monotonic() + budget, Event()
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what}: not within {budget:g} s, last {value!r}"
        pause.wait(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class VectorServer:
    """One server over one directory; it can be killed and started again."""

    root: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def storage(self) -> Path:
        return self.root / "storage"

    @property
    def snapshots(self) -> Path:
        return self.root / "snapshots"

    @property
    def log(self) -> str:
        return (self.root / "server.log").read_text()

    def launch(self) -> subprocess.Popen[bytes]:
        self.port = free_port()
        arguments = command(python=sys.executable, port=self.port, storage=self.storage, snapshots=self.snapshots)
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                arguments, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **self.environment}
            )
        return self.process

    def start(self) -> None:
        process = self.launch()
        wait_until(
            lambda: process.poll() is not None or self._answers(), what="the server answers", budget=START_BUDGET
        )
        assert process.poll() is None, self.log

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def terminate(self) -> int:
        """SIGTERM, and the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=10)

    def kill(self) -> None:
        """SIGKILL: no goodbye, nothing flushed."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=10)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, trust_env=False)


@contextmanager
def running(root: Path, environment: Mapping[str, str] | None = None) -> Iterator[VectorServer]:
    server = VectorServer(root, environment or {})
    try:
        server.start()
        yield server
    finally:
        server.close()


def upload(client: httpx.Client, collection: str, content: bytes, query: str = "wait=true") -> httpx.Response:
    """Restore ``collection`` from a snapshot's bytes."""
    files = {"snapshot": ("s.snapshot", content)}
    return client.post(f"/collections/{collection}/snapshots/upload?{query}&priority=snapshot", files=files)
