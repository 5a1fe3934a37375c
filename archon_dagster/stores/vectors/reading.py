"""How many points a captured snapshot holds, and which: by the surest of the ways that this server leaves open.

Live, where nothing was written while it was captured; by Qdrant's engine, where that reads it; else the server loads
it under a scratch name and is asked. Where none of that can be done, the count alone is recorded, and only if it was
the same before and after: a snapshot made under a writer holds some number of points between the two, and a restore
could not be told from a failed one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from archon_dagster.errors import Cancelled, StoreError, StoreUnavailable
from archon_dagster.repository.manifest import Part
from archon_dagster.stores.base import Work
from archon_dagster.stores.vectors import engine, loading
from archon_dagster.stores.vectors.capture import Captured
from archon_dagster.stores.vectors.client import Client, ServerSnapshot
from archon_dagster.stores.vectors.download import Copied
from archon_dagster.stores.vectors.loading import Candidate
from archon_dagster.stores.vectors.portable.keeping import Keep

LOADED = 4 << 30  # bytes of a snapshot that a server may be asked to hold a second time, for a moment


@dataclass(frozen=True)
class Points:
    """The digest, and how it was come by.

    :param kept: what the engine says of the portable file it was asked for; ``None`` where the engine did not read.
    """

    part: Part
    told: str
    kept: str | None = None


def points(
    client: Client, captured: Captured, snapshot: ServerSnapshot, copied: Copied, work: Work, cleanup: float,
    on_read: Callable[[int], None], keep: Keep | None = None,
) -> Points:  # fmt: skip
    """See the module."""
    name = snapshot.collection
    if (proven := captured.proven(name)) is not None:
        return Points(proven, "live: the same before and after the snapshot was made")
    if copied.file is None:
        return _counted(client, captured, name, "the scratch directory is too small to unpack the snapshot")
    try:
        reading = engine.read(
            copied.file, copied.contents, client.version, work.scratch, check=work.check, on_read=on_read, keep=keep
        )
        return Points(reading.points, "artifact", reading.kept)
    except engine.NotVerifiableHere as error:
        if snapshot.size > LOADED:
            return _counted(client, captured, name, str(error))
        return _loaded(client, captured, snapshot, copied, work, cleanup)


def _loaded(
    client: Client, captured: Captured, snapshot: ServerSnapshot, copied: Copied, work: Work, cleanup: float
) -> Points:
    """Ask the server that has made it. One that cannot load it again has made no backup: that is an error."""
    assert copied.file is not None
    candidate = Candidate(snapshot.collection, copied.file, copied.sha256, copied.contents, None)
    try:
        part = loading.measure(client, candidate, work, cleanup)
    except (Cancelled, StoreUnavailable):
        raise
    except StoreError as error:
        if "No space left" not in error.what:
            raise
        return _counted(client, captured, snapshot.collection, "the server has no room to load it a second time")
    return Points(part, "server: the snapshot was loaded under a scratch name and read")


def _counted(client: Client, captured: Captured, name: str, why: str) -> Points:
    before, after = captured.before[name], captured.state.alive[name].count
    if before == after and not captured.has_moved(name):
        return Points(Part.unread(after), f"none: {why}")
    raise StoreError(
        f"collection {name} was written to while it was captured, and its snapshot cannot be read: {why}",
        where=client.address,
        tried=f"{before} points before, {after} after",
        todo="stop what writes to it for the time of the backup, or remove what keeps it from being read, then start "
        "the run again",
    )
