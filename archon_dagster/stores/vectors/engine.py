"""Verifying a snapshot with no server: Qdrant's own engine reads it in a process of its own.

Three answers. *Read*: count and digest. *Damaged*: the file is not what it should be. *Not verifiable here*: the
engine is not installed, or it does not know the segments of the server that wrote them, which says nothing against
the snapshot.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from archon_dagster.repository.manifest import Part
from archon_dagster.stores.vectors.fingerprint import dense_vectors
from archon_dagster.stores.vectors.offline import COMPLETE, KEEP
from archon_dagster.stores.vectors.portable.keeping import Keep
from archon_dagster.stores.vectors.snapshot import Contents, DamagedSnapshot, unpack
from archon_dagster.stores.vectors.version import Version

READS = ((1, 16), (1, 19))
"""Servers (by minor version, inclusive) whose segments ``qdrant-edge-py`` 0.9 knows; older ones wrote RocksDB."""

IDLE_LIMIT = 300.0  # seconds without a sign of life from the engine
_POLL = 0.2


class NotVerifiableHere(Exception):
    """Nothing here can read this snapshot; the message says why."""


@dataclass(frozen=True)
class Reading:
    """What the engine found: the exact number of points and their digest.

    :param kept: why the portable file asked for is not there; empty where it is.
    """

    count: int
    points: Part
    kept: str | None = None


def installed() -> bool:
    """Whether the engine can be used on this machine at all."""
    return importlib.util.find_spec("qdrant_edge") is not None


def knows(version: Version | None) -> bool:
    """Whether the engine is here and reads what a server of this version wrote."""
    return installed() and version is not None and READS[0] <= version.line <= READS[1]


def read(
    snapshot: Path,
    contents: Contents,
    version: Version | None,
    scratch: Path,
    *,
    check: Callable[[], None] = lambda: None,
    on_read: Callable[[int], None] = lambda _: None,
    keep: Keep | None = None,
) -> Reading:
    """Count and digest of a snapshot file that was found complete.

    :param version: of the server that wrote it; decides whether a refusal means damage.
    :param scratch: directory for the unpacked files; what is put there is removed again.
    :param keep: a portable file to be written on the way.
    :raises NotVerifiableHere: the engine is missing or does not know this format.
    :raises DamagedSnapshot: the engine knows the format and cannot read the data.
    """
    if not installed():
        raise NotVerifiableHere("the engine is not installed (the extra 'verify' of this package has it)")
    if contents.rocksdb:
        raise NotVerifiableHere(f"segments of an old server (RocksDB); the engine here reads {_range()}")
    directory = scratch / f"{snapshot.name}.unpacked"
    try:
        unpack(snapshot, directory, check)
        arguments = [str(directory / shard) for shard in contents.shards]
        if "" in dense_vectors(contents.config):
            arguments.append(COMPLETE)
        if keep is not None:
            request = directory / "keep.json"
            keep.save(request)
            arguments.append(f"{KEEP}{request}")
        return _judge(_run(arguments, check, on_read), snapshot.name, version)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def unpacked_size(snapshot_size: int) -> int:
    """Bytes of scratch to allow for beside a snapshot of this size, holes of its sparse members included."""
    return snapshot_size + (64 << 20)


def _judge(result: dict[str, Any], name: str, version: Version | None) -> Reading:
    if "failed" not in result:
        return Reading(count=result["count"], points=Part.model_validate(result["points"]), kept=result.get("kept"))
    if version is not None and not knows(version):
        raise NotVerifiableHere(f"written by Qdrant {version}; the engine here reads {_range()}: {result['failed']}")
    raise DamagedSnapshot(
        f"the snapshot is damaged: Qdrant's engine cannot read it: {result['failed']}",
        where=name,
        todo="use another backup (archon backups)",
    )


def _range() -> str:
    (first, last) = (".".join(map(str, line)) for line in READS)
    return f"Qdrant {first} to {last}"


def _run(arguments: list[str], check: Callable[[], None], on_read: Callable[[int], None]) -> dict[str, Any]:
    """The last line of the engine's process; killed when ``check`` raises or it falls silent."""
    command = [sys.executable, "-m", "archon_dagster.stores.vectors.offline", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    lines: Queue[bytes | None] = Queue()
    errors: list[bytes] = []
    readers = [_pump(process.stdout, lines), threading.Thread(target=_tail, args=(process.stderr, errors), daemon=True)]
    for reader in readers:
        reader.start()
    try:
        last = _follow(lines, check, on_read)
        process.wait(IDLE_LIMIT)
    except subprocess.TimeoutExpired:
        last = {"failed": "the engine did not come to an end"}
    finally:
        process.kill()
        process.wait()
        for reader in readers:
            reader.join()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    if "count" in last or "failed" in last:
        return last
    said = b"".join(errors)[-500:].decode(errors="replace").strip()
    return {"failed": f"the engine died (exit code {process.returncode}): {said or 'without a word'}"}


def _pump(pipe: Any, lines: Queue[bytes | None]) -> threading.Thread:
    def run() -> None:
        for line in pipe:
            lines.put(line)
        lines.put(None)

    return threading.Thread(target=run, daemon=True)


def _tail(pipe: Any, into: list[bytes]) -> None:
    for line in pipe:
        into.append(line)
        del into[:-20]


def _follow(lines: Queue[bytes | None], check: Callable[[], None], on_read: Callable[[int], None]) -> dict[str, Any]:
    last: dict[str, Any] = {}
    heard = time.monotonic()
    while time.monotonic() - heard < IDLE_LIMIT:
        check()
        try:
            line = lines.get(timeout=_POLL)
        except Empty:
            continue
        if line is None:
            return last
        heard = time.monotonic()
        last = json.loads(line)
        if "read" in last:
            on_read(last["read"])
    return {"failed": f"the engine gave no sign of life for {IDLE_LIMIT:.0f} s"}
