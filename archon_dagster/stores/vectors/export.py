"""Export: a snapshot of every collection, and what the snapshots leave out.

The order matters. Everything that must describe the same instant happens first: the snapshots are made on the
server, the aliases and settings are read, and then the writers may go on. Only after that do the bytes travel. The
fingerprint is computed from the bytes that travelled, by Qdrant's own engine.

Servers whose snapshots the engine cannot read (before 1.16) are fingerprinted live, once before and once after their
snapshots are made: only when both agree nothing was written in between, so the snapshot holds just that. When they
differ, the manifest has the exact counts and says why it has no more.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from archon_dagster.errors import ArchonError, StoreError
from archon_dagster.repository.manifest import Fingerprint, Part
from archon_dagster.stores.base import ArtifactWriter, Progress, Sink, Work
from archon_dagster.stores.vectors import configuration, create, download, engine, fingerprint, leftovers, live, state
from archon_dagster.stores.vectors.client import Client, ServerSnapshot
from archon_dagster.stores.vectors.configuration import KIND, NAME, SNAPSHOT_KIND
from archon_dagster.stores.vectors.download import Copied
from archon_dagster.stores.vectors.ledger import Ledger

LIVE_WHOLE = 20_000  # points read whole while the writers wait; beyond it the sample


@dataclass(frozen=True)
class Options:
    """See :class:`~archon_dagster.stores.vectors.store.VectorStore`."""

    collections: tuple[str, ...] | None
    live_limit: int
    free_space: Callable[[], int | None]
    cleanup: float


@dataclass(frozen=True)
class Captured:
    """What was true at the instant of the snapshots.

    :param live: fingerprints read from the live server, proven to hold for the snapshots; only of servers whose
        snapshots the engine cannot read. :param moved: what differed between the two readings.
    """

    snapshots: tuple[ServerSnapshot, ...]
    state: state.State
    aliases: dict[str, str]
    live: Fingerprint | None
    moved: tuple[str, ...]


def export(client: Client, sink: Sink, work: Work, ledger: Ledger, options: Options) -> None:
    """Write the artifacts; whatever happens, no snapshot of ours stays on the server."""
    state.refuse_cluster(client)
    stale = create.remove_noted(client, ledger, options.cleanup)
    before = state.examine(client, _chosen(client, options)).require_alive(client.address)
    _require_space(client, before, options)
    captured = _capture(client, before, work, ledger, options)
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

            _snapshot_artifact(client, sink, work, captured, snapshot, names[snapshot.collection], gone)
        document = configuration.document(
            client.version, captured.state.alive, names, captured.aliases, everything=options.collections is None
        )
        _configuration_artifact(client, sink, document, captured, [*stale, *filter(None, left)], ledger)
    except ArchonError as error:
        left += [create.discard(client, snapshot, ledger, options.cleanup) for snapshot in remaining]
        if lines := [line for line in left if line]:
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


def _capture(client: Client, before: state.State, work: Work, ledger: Ledger, options: Options) -> Captured:
    unreadable = not engine.knows(client.version)
    if unreadable:  # no engine will read what is captured, so ask the server whether it finds what it holds
        for name, collection in before.alive.items():
            live.find_themselves(client, name, collection.config)
    first = _read_live(client, before, work, options) if unreadable else None
    snapshots = create.create_all(client, list(before.alive), work, ledger, options.cleanup)
    try:
        after = state.examine(client, list(before.alive)).require_alive(client.address)
        aliases = {alias: name for alias, name in client.aliases().items() if name in after.alive}
        second = _read_live(client, after, work, options) if first is not None else None
    except BaseException:
        for snapshot in snapshots:
            create.discard(client, snapshot, ledger, options.cleanup)
        raise
    moved = first.differences(second) if first is not None and second is not None else []
    return Captured(tuple(snapshots), after, aliases, second, tuple(moved))


def _read_live(client: Client, found: state.State, work: Work, options: Options) -> Fingerprint:
    report = _throttled(work, "read", "points")
    limit = min(options.live_limit, LIVE_WHOLE)
    return state.read_fingerprint(client, found, {}, limit, report)


def _snapshot_artifact(
    client: Client, sink: Sink, work: Work, captured: Captured, snapshot: ServerSnapshot, name: str,
    gone: Callable[[], None],
) -> None:  # fmt: skip
    report = _throttled(work, "download", "bytes")
    fits = engine.installed() and _scratch_free(work) > 2 * engine.unpacked_size(snapshot.size)
    tee = work.scratch / "export.snapshot" if fits else None
    try:
        with sink.artifact("vectors", name, SNAPSHOT_KIND, media_type="application/x-tar", cut="tar") as writer:
            copied = download.copy(
                client, snapshot, writer, tee, work, lambda n: report(snapshot.collection, n, snapshot.size)
            )
            gone()
            _describe(client, work, captured, snapshot, copied, writer)
    finally:
        if tee is not None:
            tee.unlink(missing_ok=True)


def _describe(
    client: Client, work: Work, captured: Captured, snapshot: ServerSnapshot, copied: Copied, writer: ArtifactWriter
) -> None:
    """Counts and fingerprint of what the artifact holds."""
    name = snapshot.collection
    points, told = _points(client, work, captured, name, copied)
    whole = points.sample_count in (None, points.count) or points.sample_digest != points.digest
    parts = {
        f"{name}/points": points,
        f"{name}/schema": fingerprint.schema_part(copied.contents.config, copied.contents.indexes),
    }
    writer.counts = {name: points.count}
    writer.fingerprint = Fingerprint(scope="full" if whole else "sample", parts=parts)
    writer.details = {
        "collection": name,
        "server_version": str(client.version),
        "server_snapshot": snapshot.name,
        "server_checksum": snapshot.checksum,
        "fingerprint_source": told,
        "schema": fingerprint.schema(copied.contents.config, copied.contents.indexes),
    }


def _points(client: Client, work: Work, captured: Captured, name: str, copied: Copied) -> tuple[Part, str]:
    """The digest of the artifact's points, and how it was come by."""
    moved = any(line.startswith(f"{name}/") for line in captured.moved)
    if captured.live is not None and not moved:
        return captured.live.parts[f"{name}/points"], "live: the same before and after the snapshot was made"
    why = "the engine is not installed, or the scratch directory is too small to unpack the snapshot"
    report = _throttled(work, "fingerprint", "points")
    if copied.file is not None:
        try:
            reading = engine.read(
                copied.file, copied.contents, client.version, work.scratch, check=work.check,
                on_read=lambda n: report(name, n, captured.state.alive[name].count),
            )  # fmt: skip
            return reading.points, "artifact"
        except engine.NotVerifiableHere as error:
            why = str(error)
    if moved:
        why = f"the collection was written to while it was captured, and {why}"
    return Part.unread(captured.state.alive[name].count), f"none: {why}"


def _configuration_artifact(
    client: Client, sink: Sink, document: bytes, captured: Captured, left: list[str], ledger: Ledger
) -> None:
    details: dict[str, Any] = {"server_version": str(client.version), "collections": len(captured.snapshots)}
    if left:
        details["left_on_server"] = left
    if unsure := ledger.unnamed(client.address):
        details["snapshots_of_unknown_name_may_be_left"] = unsure
        for name in unsure:
            ledger.strike(client.address, name)
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
