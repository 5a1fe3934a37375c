"""The instant of a backup: snapshots on the server, and what was true of it when they were made.

Servers whose snapshots the engine cannot read (before 1.16) are fingerprinted live, once before and once after their
snapshots are made: only when both agree nothing was written in between, so the snapshot holds just that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from archon_dagster.repository.manifest import Fingerprint, Part
from archon_dagster.stores.base import Work
from archon_dagster.stores.vectors import create, engine, live, state
from archon_dagster.stores.vectors.client import Client, ServerSnapshot
from archon_dagster.stores.vectors.ledger import Ledger

LIVE_WHOLE = 20_000  # points read whole while the writers wait; beyond it the sample

OnRead = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Captured:
    """What was true at the instant of the snapshots.

    :param before: the count of each collection before they were made; those after are in ``state``.
    :param live: fingerprints read from the live server; only of servers whose snapshots the engine cannot read.
    :param moved: what differed between the two readings.
    """

    snapshots: tuple[ServerSnapshot, ...]
    before: dict[str, int]
    state: state.State
    aliases: dict[str, str]
    live: Fingerprint | None
    moved: tuple[str, ...]

    def has_moved(self, collection: str) -> bool:
        """Whether it was written to while it was captured, as far as that was looked at."""
        return any(line.startswith(f"{collection}/") for line in self.moved)

    def proven(self, collection: str) -> Part | None:
        """The digest of its points where the live server has told it and nothing was written meanwhile."""
        if self.live is None or self.has_moved(collection):
            return None
        return self.live.parts[f"{collection}/points"]


def capture(
    client: Client, before: state.State, work: Work, ledger: Ledger, *, live_limit: int, cleanup: float,
    report: OnRead,
) -> Captured:  # fmt: skip
    """Make the snapshots; all or none.

    :param report: is told the collection, and how many of its points have been read.
    """

    def read(found: state.State) -> Fingerprint:
        return state.read_fingerprint(client, found, {}, min(live_limit, LIVE_WHOLE), report)

    unreadable = not engine.knows(client.version)
    if unreadable:  # no engine will read what is captured, so ask the server whether it finds what it holds
        for name, collection in before.alive.items():
            live.find_themselves(client, name, collection.config)
    first = read(before) if unreadable else None
    with work.timing("snapshots on the server"):
        snapshots = create.create_all(client, list(before.alive), work, ledger, cleanup)
    try:
        after = state.examine(client, list(before.alive)).require_alive(client.address)
        aliases = {alias: name for alias, name in client.aliases().items() if name in after.alive}
        second = read(after) if first is not None else None
    except BaseException:
        for snapshot in snapshots:
            create.discard(client, snapshot, ledger, cleanup)
        raise
    moved = first.differences(second) if first is not None and second is not None else []
    counts = {name: collection.count for name, collection in before.alive.items()}
    return Captured(tuple(snapshots), counts, after, aliases, second, tuple(moved))
