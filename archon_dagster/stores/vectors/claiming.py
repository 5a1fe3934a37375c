"""A free name on the server, taken so that nothing of anybody else's can be lost.

Whoever adds a collection next to others must not replace one that another client makes of the same name meanwhile, and
must not delete what another client has put into it. So the name is taken by creating the collection, which a server
refuses where there is one, and what is removed after a failure is what was made here and holds no more than was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archon_dagster.errors import ConfigurationError, StoreError
from archon_dagster.stores.vectors import strict
from archon_dagster.stores.vectors.client import Client
from archon_dagster.stores.vectors.transport import Refused

LONGEST = 255  # bytes: the server makes a directory of the name
_NEVER = frozenset('<>:"/\\|?*\0\x1f')  # Qdrant's own list, and what cannot be part of a path


def require_possible(name: str, where: str) -> None:
    """:raises ConfigurationError: no Qdrant takes a collection of this name."""
    if why := _impossible(name):
        raise ConfigurationError(
            f"a collection cannot be called {name!r}: {why}; nothing was touched",
            where=where,
            todo="choose another name (--as)",
        )


def _impossible(name: str) -> str:
    if name in ("", ".", ".."):
        return "it is no name for a directory"
    if found := sorted(_NEVER & set(name)):
        return f"a name may not contain {' or '.join(map(repr, found))}"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    return f"it has {size} bytes, {LONGEST} are possible" if size > LONGEST else ""


@dataclass
class Claim:
    """One name, to be taken by one restore.

    :ivar made: the collection of that name was made here.
    :ivar unsure: it may have been made here, or by somebody else.
    :ivar sent: so many of its points can be ours at most.
    """

    name: str
    made: bool = False
    unsure: bool = False
    sent: int = 0

    def create(self, client: Client, body: Mapping[str, Any]) -> None:
        """Take the name by making the empty collection; a cancel waits a moment to hear whether that was done.

        :raises StoreError: somebody else has it.
        """
        self.unsure = True
        try:
            client.tidying().create_collection(self.name, body)
        except Refused as error:
            self.unsure = error.status >= 500
            if error.status == 409 or "already exists" in error.said:
                raise self._taken(client) from error
            raise
        self.made, self.unsure = True, False

    def require_free(self, client: Client) -> None:
        """The next best, where the server can make the collection only by itself.

        :raises StoreError: somebody else has the name.
        """
        if self.name in client.collections() or self.name in client.aliases():
            raise self._taken(client)
        self.unsure = True

    def arrived(self) -> None:
        """The server has made the collection by itself."""
        self.made, self.unsure = True, False

    def give_up(self, client: Client) -> None:
        """Remove what was made.

        :raises StoreError: something stays, because it is not certain that all of it is ours.
        """
        if not (self.made or self.unsure) or self.name not in client.collections():
            return
        if not self.made:
            raise self._left(client, "it may be somebody else's")
        held = self.held(client)
        if held > self.sent:
            raise self._left(client, f"it holds {held} points, of which this restore has sent {self.sent} at most")
        try:
            client.delete_collection(self.name)
        except Refused as error:
            if error.status != 404:
                raise

    def held(self, client: Client) -> int:
        """Points in it; none where it does not work, as after a load that failed, or is gone."""
        try:
            return strict.count(client, self.name, client.info(self.name).get("config") or {})
        except Refused as error:
            if error.status != 404 and error.status < 500:
                raise
            return 0

    def _taken(self, client: Client) -> StoreError:
        return StoreError(
            f"somebody else has made {self.name} meanwhile; it was left as it is",
            where=client.address,
            todo="choose another name (--as), or delete that one if it is not needed",
        )

    def _left(self, client: Client, why: str) -> StoreError:
        return StoreError(f"collection {self.name} was left as it is: {why}", where=client.address)
