"""What a live server holds, collection by collection, the dead ones by name.

``/readyz`` and the list of collections are content while a collection is dead (a failed restore leaves it so): every
collection is asked for its configuration and its exact count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archon_dagster.errors import StoreError
from archon_dagster.repository.manifest import Fingerprint, Part
from archon_dagster.stores.vectors import fingerprint, live, strict
from archon_dagster.stores.vectors.client import Client
from archon_dagster.stores.vectors.leftovers import is_trial
from archon_dagster.stores.vectors.transport import Refused


@dataclass(frozen=True)
class Collection:
    """A living collection: its exact count and what ``GET /collections/{c}`` says."""

    name: str
    count: int
    info: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        return dict(self.info.get("config") or {})

    @property
    def indexes(self) -> dict[str, Any]:
        return dict(self.info.get("payload_schema") or {})

    @property
    def schema(self) -> dict[str, Any]:
        return fingerprint.schema(self.config, self.indexes)


@dataclass(frozen=True)
class State:
    """All collections of a server; ``dead`` has the server's words for those that do not work."""

    alive: dict[str, Collection]
    dead: dict[str, str]

    def require_alive(self, address: str) -> State:
        """Raise unless every collection works."""
        if self.dead:
            names = "; ".join(f"{name}: {said}" for name, said in self.dead.items())
            raise StoreError(
                f"{len(self.dead)} collection(s) of the server do not work: {names}",
                where=address,
                todo="restore them from a backup, or delete them if they are not needed, then start the run again",
            )
        return self


def examine(client: Client, names: Sequence[str] | None = None) -> State:
    """Ask every collection (or the named ones) for its configuration and exact count; trial loads are left out."""
    alive, dead = {}, {}
    for name in client.collections() if names is None else names:
        if names is None and is_trial(name):
            continue
        try:
            alive[name] = _ask(client, name)
        except Refused as error:
            if error.status == 404 and names is None:
                continue  # deleted since it was listed
            if error.status < 500:
                raise
            dead[name] = error.said
    return State(alive=alive, dead=dead)


def _ask(client: Client, name: str) -> Collection:
    info = client.info(name)
    return Collection(name=name, info=info, count=strict.count(client, name, info.get("config") or {}))


def refuse_cluster(client: Client) -> None:
    """A snapshot holds what its node holds, so one node's are not a backup of a cluster."""
    if client.cluster_enabled():
        raise StoreError(
            "the server is a node of a cluster: a snapshot holds only the shards of the node that made it",
            where=client.address,
            todo="every node must be captured and restored on its own, which this version cannot do yet; "
            "nothing was touched",
        )


def read_fingerprint(
    client: Client, state: State, aliases: Mapping[str, str], limit: int, on_read: Callable[[str, int, int], None]
) -> Fingerprint:
    """The fingerprint of living collections; see :func:`~archon_dagster.stores.vectors.live.points_part`."""
    parts: dict[str, Part] = {"aliases": fingerprint.aliases_part(aliases)}
    whole = True
    for name, collection in state.alive.items():

        def told(done: int, name: str = name, total: int = collection.count) -> None:
            on_read(name, done, total)

        parts[f"{name}/points"], all_read = live.points_part(client, name, collection.config, limit, told)
        parts[f"{name}/schema"] = fingerprint.schema_part(collection.config, collection.indexes)
        whole = whole and all_read
    return Fingerprint(scope="full" if whole else "sample", parts=parts)
