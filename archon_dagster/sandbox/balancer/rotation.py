"""Which replica gets the next connection: the one with the fewest open, of those that are well and not draining.

Where nobody is well, everybody gets a turn: a client then sees what is wrong with them, as it would without a balancer.
Plain values and no input or output: the proxy asks :meth:`Rotation.choose` and says when a connection has ended; the
health checks say who is well. A replica that is taken off the list gets nothing new and keeps what it has, so the list
can be replaced while connections are open.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(slots=True)
class Replica:
    """One process. :param open: its connections; :param draining: off the list, until the last of them has ended."""

    port: int
    open: int = 0
    failures: int = 0
    successes: int = 0
    well: bool = False
    draining: bool = False
    served: int = 0
    turn: int = 0  # of the last connection it was given: whoever waits longest is next


class Rotation:
    """The replicas of one service.

    :param failures: bad health checks in a row after which a replica gets nothing more.
    :param successes: good ones after which it gets something again; a new one has to be well once.
    """

    def __init__(self, ports: Iterable[int], failures: int = 2, successes: int = 2):
        self._failures, self._successes = failures, successes
        self._replicas: dict[int, Replica] = {}
        self._turns = 0
        self.replace(ports)

    def replace(self, ports: Iterable[int]) -> None:
        """A new list; those that stay keep their state, those that go are drained."""
        wanted = list(dict.fromkeys(ports))
        for replica in self._replicas.values():
            replica.draining = replica.port not in wanted
        for port in wanted:
            self._replicas.setdefault(port, Replica(port))
        self._forget_drained()

    def choose(self, but: Iterable[int] = ()) -> Replica | None:
        """Whom to connect to; it counts as connected until :meth:`ended`.

        :param but: ports that did not take this connection.
        """
        avoid = set(but)
        able = [one for one in self._replicas.values() if not one.draining and one.port not in avoid]
        if not able:
            return None
        chosen = min([one for one in able if one.well] or able, key=lambda one: (one.open, one.turn))
        chosen.open += 1
        chosen.served += 1
        self._turns += 1
        chosen.turn = self._turns
        return chosen

    def ended(self, replica: Replica) -> None:
        """A connection that :meth:`choose` gave has ended."""
        replica.open -= 1
        self._forget_drained()

    def refused(self, replica: Replica) -> None:
        """It did not accept a connection: nothing more for it until its health is good again. Ends the connection."""
        replica.well, replica.successes = False, 0
        self.ended(replica)

    def checked(self, port: int, good: bool) -> None:
        """The result of a health check; of one that is gone meanwhile it says nothing."""
        one = self._replicas.get(port)
        if one is None:
            return
        never_seen = one.failures == one.successes == 0
        one.failures, one.successes = (0, one.successes + 1) if good else (one.failures + 1, 0)
        if good and (never_seen or one.successes >= self._successes):
            one.well = True
        elif one.failures >= self._failures:
            one.well = False

    def replicas(self) -> list[Replica]:
        """All of them, those that are being drained too."""
        return list(self._replicas.values())

    def ports(self) -> list[int]:
        """Those on the list."""
        return [one.port for one in self._replicas.values() if not one.draining]

    def _forget_drained(self) -> None:
        for port in [one.port for one in self._replicas.values() if one.draining and not one.open]:
            del self._replicas[port]
