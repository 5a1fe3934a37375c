"""A Qdrant server of its own for the tests of the vectors store, to be killed, frozen and damaged."""

from __future__ import annotations

import os
import random
import shlex
import signal
import socket
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from archon_dagster_tests.eventually import eventually

DEADLINE = 60.0
EMBEDDED = "1.18.3"


class StoreServer:
    """One server process over one directory; the real program where ``ARCHON_SANDBOX_QDRANT`` names one."""

    def __init__(self, directory: Path, version: str = EMBEDDED, key: str = "") -> None:
        self.directory, self.version, self.key = directory, version, key
        self.real = shlex.split(os.environ.get("ARCHON_SANDBOX_QDRANT", ""))
        if self.real and version != EMBEDDED:
            pytest.skip("a real server cannot be told to say another version")
        directory.mkdir(parents=True, exist_ok=True)
        self.port, self.grpc_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def storage(self) -> Path:
        return self.directory / "storage"

    @property
    def snapshot_files(self) -> list[str]:
        """Snapshot files on the server's disk, ours or not."""
        return sorted(f.name for f in (self.directory / "snapshots").rglob("*.snapshot"))

    def start(self) -> StoreServer:
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command(), stdout=log, stderr=log, env=self._environment(), cwd=self.directory
            )
        eventually(self._answers, DEADLINE)
        return self

    def kill(self) -> None:
        self._send(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    def freeze(self) -> None:
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._send(signal.SIGCONT)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.thaw()
            self.kill()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"api-key": self.key} if self.key else {}
        with httpx.Client(base_url=self.url, headers=headers, timeout=60.0) as client:
            answer = client.request(method, path, json=body)
        assert answer.status_code < 400, f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        return answer.json().get("result")

    def fill(self, collection: str, count: int, size: int = 8, *, seed: int = 1, **config: Any) -> None:
        """A collection of points with both kinds of ids and every kind of payload value."""
        self.call("PUT", f"/collections/{collection}", {"vectors": {"size": size, "distance": "Cosine"}} | config)
        for start in range(0, count, 200):
            points = [point(number, size, seed) for number in range(start, min(count, start + 200))]
            self.call("PUT", f"/collections/{collection}/points?wait=true", {"points": points})

    def fill_more(self, collection: str, number: int, size: int) -> None:
        """One more point."""
        self.call("PUT", f"/collections/{collection}/points?wait=true", {"points": [point(number, size)]})

    def count(self, collection: str) -> int:
        return int(self.call("POST", f"/collections/{collection}/points/count", {"exact": True})["count"])

    def names(self) -> list[str]:
        return sorted(entry["name"] for entry in self.call("GET", "/collections")["collections"])

    def _command(self) -> list[str]:
        if self.real:
            return self.real
        return [
            sys.executable, "-m", "archon_dagster.sandbox.vectors", "--port", str(self.port), "--storage",
            str(self.storage), "--snapshots", str(self.directory / "snapshots"), "--version", self.version,
        ]  # fmt: skip

    def _environment(self) -> dict[str, str]:
        ours = {
            "QDRANT__SERVICE__HOST": "127.0.0.1",
            "QDRANT__SERVICE__HTTP_PORT": str(self.port),
            "QDRANT__SERVICE__GRPC_PORT": str(self.grpc_port),
            "QDRANT__STORAGE__STORAGE_PATH": str(self.storage),
            "QDRANT__STORAGE__SNAPSHOTS_PATH": str(self.directory / "snapshots"),
            "QDRANT__TELEMETRY_DISABLED": "true",
        }
        return os.environ | ours | ({"QDRANT__SERVICE__API_KEY": self.key} if self.key else {})

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.directory / "log").read_text()[-2000:]
        try:
            with httpx.Client(timeout=2.0) as client:
                return client.get(f"{self.url}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def _send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def point(number: int, size: int, seed: int = 1) -> dict[str, Any]:
    """The same point for the same number, everywhere."""
    chance = random.Random(f"{seed}/{number}")
    identity: int | str = (
        chance.getrandbits(64) if number % 2 else str(uuid.UUID(int=chance.getrandbits(128), version=4))
    )
    payload = {
        "entity_id": f"file_{number:012x}", "number": number, "score": number / 7, "whole": 1.0, "none": None,
        "text": "☃ \"q\" \\ \n", "list": [1, 2.5, {"deep": []}], "flag": number % 3 == 0,
    }  # fmt: skip
    return {"id": identity, "vector": [chance.gauss(0, 1) for _ in range(size)], "payload": payload}
