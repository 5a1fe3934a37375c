"""About 500 MB that look like a platform's backup: snapshots with real segments, a graph export, tables.

``base`` and ``changed`` hold the same artifacts before and after half a percent of the points was upserted.
The snapshots are taken over REST from the sandbox's own vector server, whose engine and layout are the real ones.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import numpy as np

from archon_dagster.sandbox.ports import any_free

DIMENSION = 1536
CHANGED = 200  # one of so many points
_BATCH = 400
_PER_VECTOR = 1.95  # bytes of a snapshot for each byte of vectors: log, payloads, index
_READY, _GREEN = 30.0, 900.0  # seconds
_WORDS = """
index node graph vector point chunk service bridge search model token query store cluster backup restore schema
entity project source file class function return value error result cache batch queue
""".split()  # noqa: SIM905


def make(folder: Path, megabytes: int) -> None:
    """Fill ``folder`` unless it is there already; about a tenth is graph and tables, the rest is vectors."""
    if (folder / "whole").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    points = int(megabytes * 0.9 * 1e6 / (DIMENSION * 4 * _PER_VECTOR))
    with _server(folder / "server") as client:
        collections = {"archon_vectors": points * 2 // 3, "quality_vectors": points // 3}
        for number, (name, count) in enumerate(collections.items()):
            client.put(f"/collections/{name}", json={"vectors": {"size": DIMENSION, "distance": "Cosine"}})
            _upsert(client, name, count, seed=number, step=1)
        _snapshots(client, collections, folder / "base")
        for number, (name, count) in enumerate(collections.items()):
            _upsert(client, name, count, seed=100 + number, step=CHANGED)
        _snapshots(client, collections, folder / "changed")
    for part, seed in (("base", 0), ("changed", 1)):
        _graph(folder / part / "graph.jsonl", int(megabytes * 600), seed)
        _tables(folder / part / "database.dump", int(megabytes * 250), seed)
    shutil.rmtree(folder / "server")
    (folder / "whole").touch()


def artifacts(part: Path) -> list[Path]:
    """The files of one state, largest first."""
    return sorted((path for path in part.iterdir() if path.is_file()), key=lambda path: -path.stat().st_size)


@contextmanager
def _server(home: Path) -> Iterator[httpx.Client]:
    port = any_free()
    command = [sys.executable, "-m", "archon_dagster.sandbox.vectors", "--port", str(port),
               "--storage", str(home / "storage"), "--snapshots", str(home / "snapshots")]  # fmt: skip
    home.mkdir(parents=True)
    with (home / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=300.0, trust_env=False,
                              event_hooks={"response": [_refuse_errors]})  # fmt: skip
        try:
            _wait(partial(_answers, client), _READY, "the vector server does not start")
            yield client
        finally:
            client.close()
            process.terminate()
            process.wait(30)


def _refuse_errors(answer: httpx.Response) -> None:
    if answer.is_error:
        answer.read()
        raise RuntimeError(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:300]}")


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").is_success
    except httpx.TransportError:
        return False


def _upsert(client: httpx.Client, name: str, count: int, *, seed: int, step: int) -> None:
    """Every ``step``-th point, with vectors that depend on the seed alone."""
    numbers = range(0, count, step)
    random_numbers = np.random.default_rng(seed)
    for start in range(0, len(numbers), _BATCH):
        batch = numbers[start : start + _BATCH]
        vectors = random_numbers.standard_normal((len(batch), DIMENSION)).astype(np.float32)
        points = [
            {"id": number, "vector": [round(x, 6) for x in vector], "payload": _payload(number, seed)}
            for number, vector in zip(batch, vectors.tolist(), strict=True)
        ]
        body = json.dumps({"points": points}).encode()
        client.put(f"/collections/{name}/points?wait=true", content=body, headers={"content-type": "application/json"})


def _payload(number: int, seed: int) -> dict[str, object]:
    words = random.Random(number * 1000 + seed)
    return {
        "entity_id": f"entity_{number:09}", "entity_type": words.choice(("class", "function", "file")),
        "content": " ".join(words.choices(_WORDS, k=60)), "quality_score": words.random(), "language": "python",
    }  # fmt: skip


def _snapshots(client: httpx.Client, collections: dict[str, int], target: Path) -> None:
    target.mkdir()
    for name in collections:
        _wait(partial(_is_green, client, name), _GREEN, f"{name} is not indexed")
        made = client.post(f"/collections/{name}/snapshots?wait=true").json()["result"]["name"]
        url, file = f"/collections/{name}/snapshots/{made}", target / f"{name}.snapshot"
        with client.stream("GET", url) as answer, file.open("wb") as written:
            for piece in answer.iter_bytes(1 << 20):
                written.write(piece)


def _is_green(client: httpx.Client, name: str) -> bool:
    return bool(client.get(f"/collections/{name}").json()["result"]["status"] == "green")


def _graph(path: Path, nodes: int, seed: int) -> None:
    with path.open("w") as file:
        for number in range(nodes):
            version = seed if number % CHANGED == 0 else 0
            file.write(json.dumps({"id": number, "labels": ["Entity"], "properties": _node(number, version)}) + "\n")
            file.write(json.dumps({"from": number, "to": number * 7919 % nodes, "type": "RELATES"}) + "\n")


def _node(number: int, version: int) -> dict[str, object]:
    return {"entity_id": f"entity_{number:09}", "name": _WORDS[number % len(_WORDS)], "line": number % 977,
            "version": version, "confidence": number % 100 / 100}  # fmt: skip


def _tables(path: Path, rows: int, seed: int) -> None:
    with path.open("w") as file:
        for number in range(rows):
            version = seed if number % CHANGED == 0 else 0
            words = " ".join(random.Random(number).choices(_WORDS, k=8))
            file.write(f"{number}\tdoc_{number:09}\t2026-01-{number % 28 + 1:02}\t{version}\t{words}\n")


def _wait(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} after {seconds:.0f} s")
        time.sleep(0.2)
