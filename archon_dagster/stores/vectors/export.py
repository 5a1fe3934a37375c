"""Export: a snapshot of every collection, and what the snapshots leave out.

The order matters. Everything that must describe the same instant happens first: the snapshots are made on the
server, the aliases and settings are read, and then the writers may go on. Only after that do the bytes travel. The
fingerprint is computed from the bytes that travelled, by Qdrant's own engine where that reads them; see
:mod:`~archon_dagster.stores.vectors.reading` for the other ways.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from archon_dagster.errors import ArchonError, StoreError
from archon_dagster.repository.manifest import Fingerprint
from archon_dagster.stores.base import ArtifactWriter, Progress, Sink, Work
from archon_dagster.stores.parts import PART
from archon_dagster.stores.vectors import configuration, create, download, engine, fingerprint, leftovers, state
from archon_dagster.stores.vectors.capture import Captured, capture
from archon_dagster.stores.vectors.client import Client, ServerSnapshot
from archon_dagster.stores.vectors.configuration import KIND, NAME, SNAPSHOT_KIND
from archon_dagster.stores.vectors.download import Copied
from archon_dagster.stores.vectors.ledger import Ledger
from archon_dagster.stores.vectors.portable import exporting as portable
from archon_dagster.stores.vectors.reading import Points, points


@dataclass(frozen=True)
class Options:
    """See :class:`~archon_dagster.stores.vectors.store.VectorStore`."""

    collections: tuple[str, ...] | None
    live_limit: int
    free_space: Callable[[], int | None]
    cleanup: float


def export(client: Client, sink: Sink, work: Work, ledger: Ledger, options: Options) -> None:
    """Write the artifacts; whatever happens, no snapshot of ours stays on the server."""
    state.refuse_cluster(client)
    stale = create.remove_noted(client, ledger, options.cleanup) + leftovers.sweep(client, options.cleanup)
    before = state.examine(client, _chosen(client, options)).require_alive(client.address)
    _require_space(client, before, options)
    captured = capture(
        client, before, work, ledger, live_limit=options.live_limit, cleanup=options.cleanup,
        report=_throttled(work, "read", "points"),
    )  # fmt: skip
    remaining = list(captured.snapshots)
    left: list[str] = []
    try:
        work.captured()
        names = _artifact_names([snapshot.collection for snapshot in remaining])
        while remaining:
            snapshot = remaining[0]

            def gone(snapshot: ServerSnapshot = snapshot) -> None:
                remaining.remove(snapshot)
                left.append(create.discard(client, snapshot, ledger, options.cleanup))

            _snapshot_artifact(client, sink, work, captured, snapshot, names[snapshot.collection], gone, options)
        stale += create.remove_late(client, ledger, options.cleanup)
        document = configuration.document(
            client.version, captured.state.alive, names, captured.aliases, everything=options.collections is None
        )
        _configuration_artifact(client, sink, document, captured, [*stale, *filter(None, left)], options)
    except ArchonError as error:
        left += [create.discard(client, snapshot, ledger, options.cleanup) for snapshot in remaining]
        if lines := [line for line in [*stale, *left] if line]:
            raise leftovers.with_leftovers(error, lines) from error
        raise
    except BaseException:
        for snapshot in remaining:
            create.discard(client, snapshot, ledger, options.cleanup)
        raise


def _chosen(client: Client, options: Options) -> Sequence[str] | None:
    if options.collections is None:
        return None
    existing = client.collections()
    if missing := [name for name in options.collections if name not in existing]:
        raise StoreError(
            f"collection(s) to back up do not exist: {', '.join(missing)}",
            where=client.address,
            todo=f"the server has: {', '.join(existing) or 'none'}",
        )
    return sorted(options.collections)


def _require_space(client: Client, before: state.State, options: Options) -> None:
    """The server does not look at its free space before it makes a snapshot; where it can be known, we do."""
    free = options.free_space()
    if free is None:
        return
    # what the server tells counts the holes of its files, which a snapshot leaves out: room for the copy it makes too
    need = sum(client.disk_bytes(name) or 0 for name in before.alive)
    if need > free:
        raise StoreError(
            f"snapshots of all collections may need {need >> 20} MiB, the server's volume has {free >> 20} MiB free",
            where=client.address,
            todo="free space on the server's volume; nothing was touched",
        )


def _snapshot_artifact(
    client: Client, sink: Sink, work: Work, captured: Captured, snapshot: ServerSnapshot, name: str,
    gone: Callable[[], None], options: Options,
) -> None:  # fmt: skip
    report = _throttled(work, "download", "bytes")
    fits = _scratch_free(work) > 2 * engine.unpacked_size(snapshot.size)
    needed = work.portable or captured.proven(snapshot.collection) is None
    tee = work.scratch / "export.snapshot" if fits and needed else None
    try:
        with sink.artifact("vectors", name, SNAPSHOT_KIND, media_type="application/x-tar", cut="tar") as writer:
            copied = download.copy(
                client, snapshot, writer, tee, work, lambda n: report(snapshot.collection, n, snapshot.size)
            )
            gone()
            keep = (
                portable.keep_beside(client, sink, copied, captured.aliases, snapshot, work) if work.portable else None
            )
            read = _throttled(work, "fingerprint", "points")
            count = captured.state.alive[snapshot.collection].count
            with work.timing("fingerprint"):
                found = points(
                    client, captured, snapshot, copied, work, options.cleanup,
                    lambda n: read(snapshot.collection, n, count), keep,
                )  # fmt: skip
            _describe(client, snapshot, copied, found, writer)
            described = time.monotonic()
        work.took(download.CHUNKING, time.monotonic() - described)  # the end of the artifact waits for its last chunks
        if keep is not None:
            read = _throttled(work, "portable copy of", "points")
            with work.timing("portable copy"):
                portable.store(
                    client, sink, work, keep, copied, found, name, options.cleanup,
                    lambda n: read(snapshot.collection, n, count),
                )  # fmt: skip
    finally:
        if tee is not None:
            tee.unlink(missing_ok=True)


def _describe(client: Client, snapshot: ServerSnapshot, copied: Copied, found: Points, writer: ArtifactWriter) -> None:
    """Counts and fingerprint of what the artifact holds."""
    name, part = snapshot.collection, found.part
    whole = part.sample_count in (None, part.count) or part.sample_digest != part.digest
    parts = {
        f"{name}/points": part,
        f"{name}/schema": fingerprint.schema_part(copied.contents.config, copied.contents.indexes),
    }
    writer.counts = {name: part.count}
    writer.fingerprint = Fingerprint(scope="full" if whole else "sample", parts=parts)
    writer.details = {
        "collection": name,
        "server_version": str(client.version),
        "server_snapshot": snapshot.name,
        "server_checksum": snapshot.checksum,
        "fingerprint_source": found.told,
        "schema": fingerprint.schema(copied.contents.config, copied.contents.indexes),
    }


def _configuration_artifact(
    client: Client, sink: Sink, document: bytes, captured: Captured, left: list[str], options: Options
) -> None:
    details: dict[str, Any] = {"server_version": str(client.version), "collections": len(captured.snapshots)}
    if options.collections is not None:
        details[PART] = [["collection", name] for name in options.collections]
    if left:
        details["left_on_server"] = left
    with sink.artifact("vectors", NAME, KIND, media_type="application/json", cut="whole") as writer:
        writer.write(document)
        writer.details = details
        writer.fingerprint = Fingerprint(parts={"aliases": fingerprint.aliases_part(captured.aliases)})
    sink.not_covered("vectors", "the server's own configuration, API keys and full-storage snapshots")


def _artifact_names(collections: Sequence[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    for collection in collections:
        names[collection] = configuration.artifact_name(collection, list(names.values()))
    return names


def _scratch_free(work: Work) -> int:
    return shutil.disk_usage(work.scratch).free


def _throttled(work: Work, step: str, unit: str) -> Callable[[str, int, int], None]:
    """A reporter that passes on four lines a second at most, and looks at the cancel event."""
    last = 0.0

    def report(name: str, done: int, total: int) -> None:
        nonlocal last
        work.check()
        if time.monotonic() - last > 0.25 or done == total:
            last = time.monotonic()
            work.report(Progress("vectors", f"{step} {name}", done, total, unit))

    return report
