"""Making the snapshots on the server, and knowing exactly which files are ours."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime

from archon_dagster.errors import Cancelled, StoreError, StoreUnavailable
from archon_dagster.stores.base import Work
from archon_dagster.stores.vectors.client import Client, ServerSnapshot
from archon_dagster.stores.vectors.ledger import Entry, Ledger
from archon_dagster.stores.vectors.leftovers import persist, remove_snapshot
from archon_dagster.stores.vectors.waiting import pause

AT_ONCE = 4
_GRACE = 30.0  # seconds a creation may still take after a cancel, so that its file can be removed again
_SETTLE = 3.0  # seconds a snapshot that a killed run has asked for may still take to appear
_MADE_WITHIN = 3600.0  # seconds between asking for a snapshot and its being there; a later one is somebody else's
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
        name, unsure = entry.name, ""
        if not name:
            name, unsure = _appeared(client, entry)
            ledger.strike(client.address, entry.collection)
            if name:
                ledger.note(client.address, entry.collection, name)
        snapshot = ServerSnapshot(entry.collection, name, 0, None)
        left.append(discard(client, snapshot, ledger, cleanup) if name else unsure)
    return [line for line in left if line]


def _appeared(client: Client, entry: Entry) -> tuple[str, str]:
    """The snapshot a killed run had asked for and never learned the name of: the one that is new since, if it is one.

    A server that is still at work on it gets a moment. Where it is not clear, because there are several or the one was
    made at another time, what to look for is returned instead.
    """
    until = time.monotonic() + _SETTLE
    while True:
        if entry.collection not in client.collections():
            return "", ""
        new = [snapshot for snapshot in client.snapshots(entry.collection) if snapshot.name not in entry.before]
        if new or time.monotonic() > until:
            break
        pause(0.2, client.check)
    if len(new) == 1 and _made_when_asked(new[0], entry.asked):
        return new[0].name, ""
    return "", _unclear(entry.collection, [snapshot.name for snapshot in new])


def _made_when_asked(snapshot: ServerSnapshot, asked: float) -> bool:
    """Whether it was made in the hour after (clocks differ: or before) it was asked for, as far as that is known."""
    try:
        made = datetime.fromisoformat(snapshot.created or "").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return True
    return not asked or abs(made - asked) < _MADE_WITHIN


def _unclear(collection: str, new: Sequence[str]) -> str:
    """What to look for, where a snapshot of ours has no name that we know."""
    if new:
        return f"{'one of ' if len(new) > 1 else ''}{', '.join(new)} of collection {collection} may be ours"
    return f"a snapshot of {collection} may still appear on the server (GET …/collections/{collection}/snapshots)"


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
    ledger.note(client.address, collection, before=before, asked=time.time())
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
    found: list[str] = []

    def look() -> None:
        found[:] = [s.name for s in quiet.snapshots(collection) if s.name not in before]
        if not found:
            raise StoreUnavailable("the server has not finished it yet")

    left = persist(look, _unclear(collection, []), cleanup)
    if left or len(found) != 1:
        return left or _unclear(collection, found)
    return remove_snapshot(client, collection, found[0], cleanup)


def _explained(error: StoreError | Cancelled, collection: str, left: str) -> StoreError | Cancelled:
    what = error.what if isinstance(error, Cancelled) else f"no snapshot of {collection}: {error.what}"
    todo = "; ".join(filter(None, [error.todo, f"remove what was left on the server: {left}" if left else ""]))
    kind = type(error) if type(error) in (Cancelled, StoreUnavailable) else StoreError
    return kind(what, where=error.where, tried=error.tried, todo=todo or None)
