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
_SETTLE = 3.0  # seconds that snapshots which earlier runs have asked for are waited for to appear
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
    """Delete what earlier runs have left that were killed, or cancelled while the server was not answering.

    Returns what could not be. What may still appear, because the server is at work on it, stays noted.
    """
    entries = ledger.entries(client.address)
    left = [
        discard(client, ServerSnapshot(entry.collection, entry.name, 0, None), ledger, cleanup)
        for entry in entries
        if entry.name
    ]
    return [line for line in left if line] + _remove_unnamed(client, ledger, cleanup, _SETTLE)


def remove_late(client: Client, ledger: Ledger, cleanup: float) -> list[str]:
    """Once more, at the end of a run: what has appeared meanwhile; returns what still has not, or could not be."""
    left = _remove_unnamed(client, ledger, cleanup, 0.0)
    waiting = {entry.collection for entry in ledger.entries(client.address) if not entry.name}
    return [*left, *(_unclear(collection, []) for collection in sorted(waiting))]


def _remove_unnamed(client: Client, ledger: Ledger, cleanup: float, patience: float) -> list[str]:
    """The snapshots whose names were never heard, collection by collection; returns what could not be removed."""
    noted = sorted((e for e in ledger.entries(client.address) if not e.name), key=lambda entry: entry.asked)
    there = client.collections()
    for entry in noted:
        if entry.collection not in there:  # and its snapshots went with it
            ledger.strike(client.address, entry.collection, asked=entry.asked)
    left: list[str] = []
    for collection in sorted({entry.collection for entry in noted}.intersection(there)):
        ours = [entry for entry in noted if entry.collection == collection]
        left += _remove_new(client, ledger, ours, _new_since(client, ledger, ours[0], patience), cleanup)
    return left


def _remove_new(
    client: Client, ledger: Ledger, ours: list[Entry], new: list[ServerSnapshot], cleanup: float
) -> list[str]:
    """Those that are new since they were asked for, if they can be no others.

    Where there are more than were asked for, or one was made at another time, what to look for is returned instead.
    """
    collection = ours[0].collection
    clear = len(new) <= len(ours) and all(_made_when_asked(snapshot, ours) for snapshot in new)
    settled = ours[: len(new)] if clear else ours
    given_up = [entry for entry in ours[len(settled) :] if time.time() - entry.asked > _MADE_WITHIN]
    for entry in (*settled, *given_up):
        ledger.strike(client.address, collection, asked=entry.asked)
    if not clear:
        return [_unclear(collection, [snapshot.name for snapshot in new])]
    for snapshot in new:
        ledger.note(client.address, collection, snapshot.name)
    left = [discard(client, snapshot, ledger, cleanup) for snapshot in new]
    return [line for line in left if line] + [_unclear(collection, [])] * bool(given_up)


def _new_since(client: Client, ledger: Ledger, entry: Entry, patience: float) -> list[ServerSnapshot]:
    """Snapshots of the collection that were not there when this one was asked for, and are of no other note."""
    until = time.monotonic() + patience
    named = {other.name for other in ledger.entries(client.address) if other.collection == entry.collection}
    while True:
        new = [s for s in client.snapshots(entry.collection) if s.name not in named.union(entry.before)]
        if new or time.monotonic() >= until:
            return new
        pause(0.2, client.check)


def _made_when_asked(snapshot: ServerSnapshot, entries: Sequence[Entry]) -> bool:
    """Whether it was made in the hour after (clocks differ: or before) one was asked for, as far as that is known."""
    try:
        made = datetime.fromisoformat(snapshot.created or "").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return True
    return any(not entry.asked or abs(made - entry.asked) < _MADE_WITHIN for entry in entries)


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
    before, asked = {snapshot.name for snapshot in client.snapshots(collection)}, time.time()
    ledger.note(client.address, collection, before=before, asked=asked)
    try:
        snapshot = client.create_snapshot(collection, patience=work.deadline)
    except Cancelled as error:  # the server may go on making it; it is noted, and removed by the next run
        todo = f"{error.todo}; the next backup removes a snapshot of {collection} that may still appear on the server"
        raise Cancelled(error.what, where=client.address, todo=todo) from error
    except StoreUnavailable as error:
        left = _remove_unheard(client, collection, before, cleanup)
        if not left:
            ledger.strike(client.address, collection, asked=asked)
        raise _explained(error, collection, left) from error
    except StoreError as error:
        ledger.strike(client.address, collection, asked=asked)
        raise _explained(error, collection, "") from error
    if snapshot.name in before:  # somebody's, made in the same second; it has just been overwritten with the same
        ledger.strike(client.address, collection, asked=asked)
        pause(_NEXT_NAME, work.check)
        return _create(client, collection, work, ledger, cleanup)
    ledger.note(client.address, collection, snapshot.name, asked=asked)
    return snapshot


def _remove_unheard(client: Client, collection: str, before: set[str], cleanup: float) -> str:
    """The answer with the name never came, but the server goes on making the file: find it by what is new."""
    found: list[str] = []

    def look(quiet: Client) -> None:
        found[:] = [s.name for s in quiet.snapshots(collection) if s.name not in before]
        if not found:
            raise StoreUnavailable("the server has not finished it yet")

    left = persist(client, look, _unclear(collection, []), cleanup)
    if left or len(found) != 1:
        return left or _unclear(collection, found)
    return remove_snapshot(client, collection, found[0], cleanup)


def _explained(error: StoreError, collection: str, left: str) -> StoreError:
    todo = "; ".join(filter(None, [error.todo, f"remove what was left on the server: {left}" if left else ""]))
    kind = StoreUnavailable if type(error) is StoreUnavailable else StoreError
    return kind(f"no snapshot of {collection}: {error.what}", where=error.where, tried=error.tried, todo=todo or None)
