"""Making the snapshots on the server, and knowing exactly which files are ours."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from archon_dagster.errors import Cancelled, StoreError, StoreUnavailable
from archon_dagster.stores.base import Work
from archon_dagster.stores.vectors.client import Client, ServerSnapshot
from archon_dagster.stores.vectors.ledger import Entry, Ledger
from archon_dagster.stores.vectors.leftovers import persist, remove_snapshot
from archon_dagster.stores.vectors.waiting import pause

AT_ONCE = 4
_GRACE = 30.0  # seconds a creation may still take after a cancel, so that its file can be removed again
_SETTLE = 3.0  # seconds a snapshot that a killed run has asked for may still take to appear
_NEXT_NAME = 1.1  # seconds: snapshot names have a resolution of one


def create_all(
    client: Client, collections: Sequence[str], work: Work, ledger: Ledger, cleanup: float
) -> list[ServerSnapshot]:
    """One snapshot of each collection, several collections at a time; all or none.

    :raises StoreError: naming the collection; the snapshots already made have been removed again.
    """
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="qdrant-snapshot") as pool:
        pending = [pool.submit(_create, client, name, work, ledger, cleanup) for name in collections]
        made, errors = _outcomes(pending)
    if errors:
        for snapshot in made:
            discard(client, snapshot, ledger, cleanup)
        raise next((error for error in errors if not isinstance(error, Cancelled)), errors[0])
    return made


def discard(client: Client, snapshot: ServerSnapshot, ledger: Ledger, cleanup: float) -> str:
    """Delete a snapshot of ours from the server; returns what is left to do by hand, or nothing."""
    left = remove_snapshot(client, snapshot.collection, snapshot.name, cleanup)
    if not left:
        ledger.strike(client.address, snapshot.collection, snapshot.name)
    return left


def remove_noted(client: Client, ledger: Ledger, cleanup: float) -> list[str]:
    """Delete what earlier runs that were killed have left; returns what could not be."""
    left = []
    for entry in ledger.entries(client.address):
        if entry.name:
            snapshot = ServerSnapshot(entry.collection, entry.name, 0, None)
            left.append(discard(client, snapshot, ledger, cleanup))
        elif ours := _appeared(client, entry):
            left.append(discard(client, ServerSnapshot(entry.collection, ours, 0, None), ledger, cleanup))
            ledger.strike(client.address, entry.collection)
    return [line for line in left if line]


def _appeared(client: Client, entry: Entry) -> str:
    """The snapshot a killed run had asked for and never learned the name of: the one that is new since, if it is one.

    A server that is still at work on it gets a moment.
    """
    until = time.monotonic() + _SETTLE
    while True:
        if entry.collection not in client.collections():
            return ""
        new = [snapshot.name for snapshot in client.snapshots(entry.collection) if snapshot.name not in entry.before]
        if new or time.monotonic() > until:
            return new[0] if len(new) == 1 else ""
        pause(0.2, client.check)


def _outcomes(pending: Sequence[Future[ServerSnapshot]]) -> tuple[list[ServerSnapshot], list[Exception]]:
    made: list[ServerSnapshot] = []
    errors: list[Exception] = []
    for future in pending:
        try:
            made.append(future.result())
        except Exception as error:  # noqa: BLE001 - raised by create_all when all have ended
            errors.append(error)
    return made, errors


def _create(client: Client, collection: str, work: Work, ledger: Ledger, cleanup: float) -> ServerSnapshot:
    work.check()
    before = {snapshot.name for snapshot in client.snapshots(collection)}
    ledger.note(client.address, collection, before=before)
    try:
        snapshot = client.create_snapshot(collection, patience=work.deadline, grace=_GRACE)
    except (StoreUnavailable, Cancelled) as error:
        left = _remove_unnamed(client, collection, before, cleanup)
        if not left:
            ledger.strike(client.address, collection)
        raise _explained(error, collection, left) from error
    except StoreError as error:
        ledger.strike(client.address, collection)
        raise _explained(error, collection, "") from error
    if snapshot.name in before:  # somebody's, made in the same second; it has just been overwritten with the same
        pause(_NEXT_NAME, work.check)
        return _create(client, collection, work, ledger, cleanup)
    ledger.note(client.address, collection, snapshot.name)
    return snapshot


def _remove_unnamed(client: Client, collection: str, before: set[str], cleanup: float) -> str:
    """The answer with the name never came, but the server goes on making the file: find it by what is new."""
    quiet = client.uninterrupted()
    unsure = f"a snapshot of {collection} may still appear on the server (GET …/collections/{collection}/snapshots)"
    found: list[str] = []

    def look() -> None:
        found[:] = [s.name for s in quiet.snapshots(collection) if s.name not in before]
        if not found:
            raise StoreUnavailable("the server has not finished it yet")

    left = persist(look, unsure, cleanup)
    if left or len(found) != 1:
        return left or f"one of {', '.join(found)} of collection {collection} is ours"
    return remove_snapshot(client, collection, found[0], cleanup)


def _explained(error: StoreError | Cancelled, collection: str, left: str) -> StoreError | Cancelled:
    what = error.what if isinstance(error, Cancelled) else f"no snapshot of {collection}: {error.what}"
    todo = "; ".join(filter(None, [error.todo, f"remove what was left on the server: {left}" if left else ""]))
    kind = type(error) if type(error) in (Cancelled, StoreUnavailable) else StoreError
    return kind(what, where=error.where, tried=error.tried, todo=todo or None)
