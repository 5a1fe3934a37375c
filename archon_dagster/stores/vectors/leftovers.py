"""Nothing of ours stays on the server: snapshot files, uploaded files, trial collections.

A server keeps every snapshot until it is told otherwise, and keeps what was uploaded to it too. So each is deleted
after success, after failure and after a cancel, also when the server died meanwhile and came back; what could not be
deleted is named exactly. After a cancel the server has a moment for it (:mod:`archon_dagster.stores.leaving`); what is
left then is deleted by the next run: snapshots are noted in the ledger, uploads and trials have names that we give.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable

from archon_dagster.errors import ArchonError, Cancelled, StoreError, StoreUnavailable
from archon_dagster.stores.vectors.client import Client
from archon_dagster.stores.vectors.transport import Refused, path
from archon_dagster.stores.vectors.waiting import pause

UPLOAD_PREFIX = "archon-restore-"
TRIAL_MARK = "__archon_trial_"
_TRIAL = re.compile(rf".+{TRIAL_MARK}[0-9a-f]{{8}}", re.DOTALL)
_KEPT = 200  # bytes of a collection's name in its trial's: the server adds to a name where it makes files of it
_RETRY_EVERY = 1.0  # seconds


def upload_name() -> str:
    """A name for an uploaded file that is recognised as ours later."""
    return f"{UPLOAD_PREFIX}{secrets.token_hex(6)}.snapshot"


def trial_name(collection: str) -> str:
    """A scratch collection's name."""
    kept = collection.encode()[:_KEPT].decode(errors="ignore")
    return f"{kept}{TRIAL_MARK}{secrets.token_hex(4)}"


def is_trial(collection: str) -> bool:
    """Whether a collection is a trial load of ours, left by a run that was killed: exactly a name that we make."""
    return _TRIAL.fullmatch(collection) is not None


def persist(client: Client, action: Callable[[Client], None], what: str, deadline: float) -> str:
    """Do it, again and again while the server does not answer; returns what is left to do, or nothing.

    Runs while another error may be on its way, so it reports instead of raising.

    :param action: is given the client that cleans up.
    """
    tidying, until, wait = client.tidying(), time.monotonic() + deadline, 0.0
    while True:
        try:
            pause(wait, tidying.check)
            tidying.check()
            action(tidying)
            return ""
        except StoreUnavailable as error:
            if time.monotonic() > until:
                return f"{what} (the server does not answer: {error.what})"
            wait = _RETRY_EVERY
        except StoreError as error:
            return f"{what} ({error.what})"
        except Cancelled:
            return f"{what} (the server did not answer at once after the cancel; the next backup does it)"


def remove_snapshot(client: Client, collection: str, name: str, deadline: float) -> str:
    """Delete a snapshot file; returns what the operator has to delete by hand, or nothing."""
    by_hand = f"DELETE {client.address}{path('collections', collection, 'snapshots', name)}"
    return persist(client, lambda quiet: quiet.delete_snapshot(collection, name), by_hand, deadline)


def remove_collection(client: Client, collection: str, deadline: float) -> str:
    """Delete a collection of ours; returns as :func:`remove_snapshot`."""
    by_hand = f"delete collection {collection}"
    return persist(client, lambda quiet: quiet.delete_collection(collection), by_hand, deadline)


def remove_upload(client: Client, collection: str, name: str, deadline: float) -> str:
    """Delete an uploaded file, also where the collection it was meant for does not exist.

    The server keeps the file of a failed upload, but only lists and deletes files of collections that exist: an empty
    one is made for that moment.
    """

    def remove(quiet: Client) -> None:
        if collection in quiet.collections():
            quiet.delete_snapshot(collection, name)
            return
        quiet.create_collection(collection, {"vectors": {"size": 1, "distance": "Dot"}})
        try:
            quiet.delete_snapshot(collection, name)
        finally:
            quiet.delete_collection(collection)

    by_hand = f"delete file {name} of collection {collection} in the server's snapshot directory"
    return persist(client, remove, by_hand, deadline)


def remove_trial(client: Client, collection: str, uploaded: str, deadline: float) -> str:
    """Delete a trial collection and the file it was loaded from."""
    left = [remove_upload(client, collection, uploaded, deadline), remove_collection(client, collection, deadline)]
    return "; ".join(filter(None, left))


def sweep(client: Client, deadline: float) -> list[str]:
    """Delete what a killed restore left: trial collections and uploaded files; returns what could not be."""
    left: list[str] = []
    for collection in client.collections():
        client.check()
        uploads = [s.name for s in client.snapshots(collection) if s.name.startswith(UPLOAD_PREFIX)]
        left.extend(remove_snapshot(client, collection, name, deadline) for name in uploads)
        if is_trial(collection):
            left.append(remove_collection(client, collection, deadline))
    return [line for line in left if line]


def with_leftovers(error: ArchonError, left: list[str]) -> ArchonError:
    """The same error, saying also what could not be removed from the server."""
    todo = "; ".join(filter(None, [error.todo, f"remove what was left on the server: {'; '.join(left)}"]))
    kind = Cancelled if isinstance(error, Cancelled) else StoreUnavailable if _gone(error) else StoreError
    return kind(error.what, where=error.where, tried=error.tried, todo=todo)


def _gone(error: ArchonError) -> bool:
    return isinstance(error, StoreUnavailable) and not isinstance(error, Refused)
