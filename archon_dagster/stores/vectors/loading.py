"""Loading one snapshot into one collection of a server, and proving that it is there.

An upload replaces the collection's data, creates it where it is missing, and leaves its file behind. A snapshot whose
segments are broken leaves the collection *dead*; loading a good one afterwards repairs it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archon_dagster.errors import ArchonError, Cancelled, StoreError, StoreUnavailable
from archon_dagster.repository.manifest import Part
from archon_dagster.stores.base import Work
from archon_dagster.stores.vectors import leftovers, live, strict
from archon_dagster.stores.vectors.client import Client
from archon_dagster.stores.vectors.fingerprint import index_schemas
from archon_dagster.stores.vectors.snapshot import Contents
from archon_dagster.stores.vectors.transport import Refused
from archon_dagster.stores.vectors.waiting import pause

_RECOVERY = 60.0  # seconds, also after a cancel, that the server may take to load what it has received whole
_SETTLE = 60.0  # seconds until the counts must be right after the server has said "restored"
_POLL = 0.5
MEASURED_WHOLE = 200_000  # points of a trial load that are all read; of more, the sample
_TUNING = (
    "deleted_threshold", "vacuum_min_vector_number", "default_segment_number", "max_segment_size", "memmap_threshold",
    "indexing_threshold", "flush_interval_sec", "max_optimization_threads",
)  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """A snapshot file in scratch, checked, and what it must become."""

    collection: str
    file: Path
    sha256: str
    contents: Contents
    count: int | None


def load(client: Client, candidate: Candidate, target: str, work: Work, cleanup: float, *, trial: bool = False) -> None:
    """Upload the snapshot into collection ``target`` and delete the file the server keeps.

    A cancel ends an upload at once; but a server that has received the whole file goes on loading it, whoever listens.
    That is waited for, because what puts the old data back must not meet it on the same collection.

    :param trial: nobody else will want this collection: after a cancel it is left to the next run, file and all.
    """
    name, grace = leftovers.upload_name(), None if trial else _RECOVERY
    try:
        with candidate.file.open("rb") as file:
            client.upload_snapshot(target, name, file, candidate.sha256, patience=work.deadline, grace=grace)
    except ArchonError as error:
        if trial and isinstance(error, Cancelled):
            raise
        if left := leftovers.remove_upload(client, target, name, cleanup):
            raise leftovers.with_leftovers(error, [left]) from error
        raise
    except BaseException:
        leftovers.remove_upload(client, target, name, cleanup)
        raise
    if left := leftovers.remove_upload(client, target, name, cleanup):
        raise StoreError(f"the uploaded file could not be removed from the server: {left}", where=client.address)


def prove(client: Client, target: str, count: int | None, work: Work) -> None:
    """Wait until the collection is not red and has the exact count, then search it for points it must find."""
    until = time.monotonic() + min(_SETTLE, work.deadline)
    while True:
        state = _look(client, target, count)
        if not state:
            break
        if time.monotonic() > until:
            raise StoreError(
                f"collection {target} is not what was restored: {state}",
                where=client.address,
                tried=f"asking for {min(_SETTLE, work.deadline):.0f} s",
                todo="look at the server's log; restore this or another backup",
            )
        pause(_POLL, work.check)
    live.find_themselves(client, target, client.info(target)["config"])


def _look(client: Client, target: str, count: int | None) -> str:
    """What is not yet as it must be; empty when all is."""
    try:
        info = client.info(target)
        found = strict.count(client, target, info.get("config") or {})
    except (Refused, StoreUnavailable) as error:
        return error.what
    if info.get("status") == "red":
        return f"its status is red: {info.get('optimizer_status')}"
    if count is not None and found != count:
        return f"{found} points, {count} expected"
    return ""


def trial(client: Client, candidate: Candidate, work: Work, cleanup: float) -> None:
    """Load the snapshot under a scratch name, prove it, and remove it again: the live collection is not touched.

    :raises StoreError: this server cannot load this file, or what it loads is not intact.
    """
    try:
        with under_a_scratch_name(client, candidate, work, cleanup) as name:
            prove(client, name, candidate.count, work)
    except (Cancelled, StoreUnavailable):
        raise
    except StoreError as error:
        raise StoreError(
            f"this server cannot load the snapshot of {candidate.collection}, tried under a scratch name; nothing "
            f"was touched: {error.what}",
            where=client.address,
            todo="restore another backup, or this one to a server of the version it was made on",
        ) from error


def measure(client: Client, candidate: Candidate, work: Work, cleanup: float) -> Part:
    """Load the snapshot under a scratch name, read its points, and remove it again.

    :raises StoreError: this server cannot load this file, or what it loads is not intact.
    """
    with under_a_scratch_name(client, candidate, work, cleanup) as name:
        prove(client, name, candidate.count, work)
        part, _ = live.points_part(client, name, client.info(name)["config"], MEASURED_WHOLE, lambda _: work.check())
        return part


@contextmanager
def under_a_scratch_name(client: Client, candidate: Candidate, work: Work, cleanup: float) -> Iterator[str]:
    """Load the snapshot into a collection of its own, which is gone afterwards."""
    name, loaded = leftovers.trial_name(candidate.collection), False
    try:
        load(client, candidate, name, work, cleanup, trial=True)
        loaded = True
        yield name
    except Cancelled:
        if loaded:
            leftovers.remove_collection(client, name, cleanup)
        raise
    except BaseException:
        leftovers.remove_collection(client, name, cleanup)
        raise
    if left := leftovers.remove_collection(client, name, cleanup):
        raise StoreError(f"the trial collection could not be removed: {left}", where=client.address)


def replace(client: Client, candidate: Candidate, work: Work, cleanup: float, *, fresh: bool) -> None:
    """Make the live collection be the snapshot.

    :param fresh: delete it first: an upload into an existing collection keeps that one's settings, and refuses other
        vector parameters.
    """
    target = candidate.collection
    if fresh:
        client.delete_collection(target)
    try:
        load(client, candidate, target, work, cleanup)
    except Refused as error:
        if error.status != 400 or "not compatible" not in error.said:
            raise
        client.delete_collection(target)
        load(client, candidate, target, work, cleanup)
    finish(client, candidate, work)


def finish(client: Client, candidate: Candidate, work: Work) -> None:
    """Prove that a loaded collection is there, and give it the settings that a collection keeps when it is loaded."""
    target = candidate.collection
    prove(client, target, candidate.count, work)
    info = client.info(target)
    _align_indexes(client, target, info.get("payload_schema") or {}, candidate.contents.indexes, work)
    _align_tuning(client, target, info["config"], candidate.contents.config)


def _align_indexes(
    client: Client, target: str, found: Mapping[str, Any], wanted: Mapping[str, Any], work: Work
) -> None:
    have, want = index_schemas(found), index_schemas(wanted)
    for field in have:
        if have[field] != want.get(field):
            client.delete_index(target, field)
    for field, schema in want.items():
        if have.get(field) != schema:
            client.create_index(target, field, wanted[field], work.deadline)


def _align_tuning(client: Client, target: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Optimizer settings and strict mode of a collection that existed before are its own; put the backup's back."""
    have, want = found.get("optimizer_config") or {}, wanted.get("optimizer_config") or {}
    changed = {key: want[key] for key in _TUNING if want.get(key) is not None and want[key] != have.get(key)}
    settings = {"optimizers_config": changed} if changed else {}
    mode = wanted.get("strict_mode_config") or {"enabled": False}
    if mode != (found.get("strict_mode_config") or {"enabled": False}):
        settings["strict_mode_config"] = mode
    for key, value in settings.items():
        with suppress(Refused):  # a newer server may have dropped one; tuning is not content
            client.update_collection(target, {key: value})
