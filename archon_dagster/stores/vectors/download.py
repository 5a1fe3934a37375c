"""A snapshot from the server into the backup: streamed once, resumed when the connection breaks, checked on the way.

Attempts go on as long as the transfer moves at all; one that does not, whatever the reason, fails.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from archon_dagster.errors import StoreError, StoreUnavailable
from archon_dagster.stores.base import ArtifactWriter, Work
from archon_dagster.stores.vectors.client import Client, ServerSnapshot
from archon_dagster.stores.vectors.snapshot import Contents, SnapshotScanner
from archon_dagster.stores.vectors.waiting import Pace, Stalled, pause

_RETRY_EVERY = 1.0
TRANSFER, CHUNKING = "transfer", "chunking"
"""What a copy is timed as: waiting for the server's bytes, and taking them in (hash, cut, hand on to be stored)."""


@dataclass(frozen=True)
class Copied:
    """A complete, checked copy: what it contains, and the scratch file it was teed to, if any."""

    contents: Contents
    file: Path | None
    sha256: str


def copy(
    client: Client, snapshot: ServerSnapshot, writer: ArtifactWriter, tee: Path | None, work: Work,
    on_bytes: Callable[[int], None],
) -> Copied:  # fmt: skip
    """Stream the snapshot into ``writer`` (and into the file ``tee``).

    :raises StoreError: size or checksum are not the server's, or the tar is not whole.
    """
    started, ours = time.monotonic(), 0.0
    digest, scanner = hashlib.sha256(), SnapshotScanner(f"{snapshot.collection}/{snapshot.name}")
    with ExitStack() as stack:
        file = stack.enter_context(tee.open("wb")) if tee is not None else None

        def receive(piece: bytes) -> None:
            nonlocal ours
            received = time.monotonic()
            digest.update(piece)
            scanner.feed(piece)
            writer.write(piece)
            if file is not None:
                file.write(piece)
            ours += time.monotonic() - received

        received = _pull(client, snapshot, receive, work, on_bytes)
    work.took(TRANSFER, time.monotonic() - started - ours)
    work.took(CHUNKING, ours)
    _compare(client, snapshot, received, digest.hexdigest(), writer)
    return Copied(contents=scanner.close(), file=tee, sha256=digest.hexdigest())


def _pull(
    client: Client, snapshot: ServerSnapshot, receive: Callable[[bytes], None], work: Work,
    on_bytes: Callable[[int], None],
) -> int:  # fmt: skip
    """All bytes in order, whatever the connection does; returns how many there were."""
    done, pace, broken = 0, Pace(work.deadline), ""

    def resume() -> None:
        nonlocal done
        with closing(client.download_snapshot(snapshot, done, pace)) as pieces:
            for piece in pieces:
                receive(piece)
                done += len(piece)
                on_bytes(done)
                if done > snapshot.size:  # refused in the end anyway, and there might be no end
                    return

    try:
        while done < snapshot.size:
            try:
                resume()
            except StoreUnavailable as error:
                broken = error.what
            if done < snapshot.size:
                pause(_RETRY_EVERY, work.check)
                pace.waited(_RETRY_EVERY)
    except Stalled as error:
        raise _stalled(client, snapshot, done, error, broken) from error
    return done


def _stalled(client: Client, snapshot: ServerSnapshot, done: int, error: Stalled, broken: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"the download of {snapshot.collection} has stalled at {done} of {snapshot.size} bytes: {error}",
        where=client.address,
        tried=f"resuming it whenever the connection broke{f', at last: {broken}' if broken else ''}",
        todo="look at the service (archon status), its log and the network, then start the run again",
    )


def _compare(client: Client, snapshot: ServerSnapshot, size: int, sha256: str, writer: ArtifactWriter) -> None:
    wrong = None
    if size != snapshot.size:
        wrong = f"{size} bytes came, the server said {snapshot.size}"
    elif snapshot.checksum is not None and sha256 != snapshot.checksum:
        wrong = f"its SHA-256 is {sha256}, the server said {snapshot.checksum}"
    elif (writer.size, writer.sha256) != (size, sha256):
        wrong = f"{writer.size} bytes with SHA-256 {writer.sha256} were written, {size} with {sha256} came"
    if wrong:
        raise StoreError(
            f"the snapshot of {snapshot.collection} was not copied faithfully: {wrong}",
            where=client.address,
            todo="start the run again; if it repeats, look at the server's disk and at the network",
        )
