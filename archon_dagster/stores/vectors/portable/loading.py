"""A portable file into a collection of a live server, and proof that it is there.

The collection is deleted and made anew: points that are not in the backup must go, and its settings may differ.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from archon_dagster.errors import StoreError
from archon_dagster.repository.manifest import Fingerprint, Part
from archon_dagster.stores.base import Work
from archon_dagster.stores.vectors import fingerprint, loading
from archon_dagster.stores.vectors.client import Client
from archon_dagster.stores.vectors.portable.creating import Plan
from archon_dagster.stores.vectors.portable.layout import About
from archon_dagster.stores.vectors.portable.matching import as_stored
from archon_dagster.stores.vectors.portable.reading import opened
from archon_dagster.stores.vectors.portable.upserting import upsert_all
from archon_dagster.stores.vectors.transport import Refused
from archon_dagster.stores.vectors.waiting import pause

_POLL = 0.5


@dataclass(frozen=True)
class PortableCandidate:
    """A portable file in scratch, read whole and found right, and how this server will make its collection."""

    collection: str
    file: Path
    about: About
    points: Part
    plan: Plan


def replace(client: Client, candidate: PortableCandidate, work: Work) -> None:
    """Make the live collection hold the points of the file.

    What this server cannot hold exactly as it was is told to ``work.warn``, and ``work.expect`` hears what the
    collection looks like instead.
    """
    client.delete_collection(candidate.collection)
    client.create_collection(candidate.collection, body(client, candidate))
    fill(client, candidate, work)


def body(client: Client, candidate: PortableCandidate) -> dict[str, object]:
    """Of the request that creates the collection."""
    return candidate.plan.body | _unrestrained(client)


def fill(client: Client, candidate: PortableCandidate, work: Work) -> None:
    """Write the points of the file into the new, empty collection; see :func:`replace`."""
    target, plan = candidate.collection, candidate.plan
    with opened(candidate.file, target) as file:
        upsert_all(client, target, file, work)
    for field, index in plan.indexes.items():
        client.create_index(target, field, index, work.deadline)
    loading.prove(client, target, candidate.points.count, work)
    _await_index(client, target, work)
    stored = as_stored(client, candidate.file, target, candidate.points, work)
    _restrain(client, candidate)
    _tell(candidate, stored, work)


def _unrestrained(client: Client) -> dict[str, object]:
    """Without the limits that strict mode, which a server may have by default, puts on writing."""
    return {"strict_mode_config": {"enabled": False}} if client.version.line >= (1, 13) else {}


def _restrain(client: Client, candidate: PortableCandidate) -> None:
    """Put strict mode back where the collection was in it."""
    mode = candidate.about.config.get("strict_mode_config") or {}
    if mode.get("enabled"):
        with suppress(Refused):  # as for a snapshot: a limit is not content
            client.update_collection(candidate.collection, {"strict_mode_config": mode})


def _await_index(client: Client, target: str, work: Work) -> None:
    """Wait while the server builds its index and gets on with it; a search before that is slow, not wrong.

    :raises StoreError: the server says that it cannot.
    """
    best, until = -1, time.monotonic() + work.deadline
    while True:
        info = client.info(target)
        if info.get("status") == "red" or isinstance(info.get("optimizer_status"), dict):
            raise StoreError(
                f"collection {target} cannot build its index: {info.get('optimizer_status')}",
                where=client.address,
                todo="look at the server's log",
            )
        if info.get("status") != "yellow":
            return
        if (done := int(info.get("indexed_vectors_count") or 0)) > best:
            best, until = done, time.monotonic() + work.deadline
        if time.monotonic() > until:
            work.warn(f"{target}: every point is there, but its index is still being built: searches are slow for now")
            return
        pause(_POLL, work.check)


def _tell(candidate: PortableCandidate, stored: Part, work: Work) -> None:
    for note in candidate.plan.notes:
        work.warn(note)
    name, about = candidate.collection, candidate.about
    parts: dict[str, Part] = {}
    if candidate.plan.schema != fingerprint.schema_part(about.config, about.indexes):
        parts[f"{name}/schema"] = candidate.plan.schema
    if stored != candidate.points:
        parts[f"{name}/points"] = stored
        work.warn(f"{name}: this server normalises Cosine vectors again: they differ in the last digit")
    if parts:
        work.expect(Fingerprint(parts=parts))
