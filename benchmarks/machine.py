"""What this machine can do at all, on the benchmark's own bytes: the ceilings of the other figures."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import zstandard

_SAMPLE = 192 << 20  # bytes
_PIECE = 1 << 20


def run(folder: Path, scratch: Path) -> dict[str, Any]:
    """MB/s of each thing that no backup can do without.

    :param folder: the data that the other benchmarks use.
    """
    pieces = _pieces(folder)
    frames = list(map(zstandard.ZstdCompressor(level=1).compress, pieces))
    threads = os.cpu_count() or 1

    def hashed(data: bytes) -> None:
        hashlib.sha256(data).digest()

    def packed(data: bytes) -> None:
        zstandard.ZstdCompressor(level=1).compress(data)

    def unpacked(frame: bytes) -> None:
        zstandard.ZstdDecompressor().decompress(frame)

    size = sum(map(len, pieces))
    return {
        "sha256_one_core": _rate(size, lambda: _all(1, hashed, pieces)),
        "sha256_all_cores": _rate(size, lambda: _all(threads, hashed, pieces)),
        "zstd_all_cores": _rate(size, lambda: _all(threads, packed, pieces)),
        "unpack_all_cores": _rate(size, lambda: _all(threads, unpacked, frames)),
        "write_and_sync_one_file": _rate(size, lambda: _write(scratch / "ceiling", pieces)),
    }


def _pieces(folder: Path) -> list[bytes]:
    found, size = list[bytes](), 0
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        with file.open("rb") as stream:
            while size < _SAMPLE and (piece := stream.read(_PIECE)):
                found.append(piece)
                size += len(piece)
    return found


def _all(threads: int, work: Callable[[bytes], None], pieces: list[bytes]) -> None:
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, pieces):
            pass


def _write(file: Path, pieces: list[bytes]) -> None:
    with file.open("wb") as stream:
        stream.writelines(pieces)
        stream.flush()
        os.fsync(stream.fileno())
    file.unlink()


def _rate(size: int, work: Callable[[], object]) -> int:
    """MB/s of the best of three: a ceiling is what it can be."""
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return int(size / 1e6 / min(times))
