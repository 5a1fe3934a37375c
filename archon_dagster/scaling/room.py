"""What the other services have reserved of a host: it is not there to be given out a second time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from archon_dagster.platform.limits import size_text
from archon_dagster.platform.runtime.protocol import Runtime


@dataclass(frozen=True, slots=True)
class Reserved:
    """Of all replicas together. :param by: the services whose reservations these are."""

    cpus: float = 0.0
    memory: int = 0
    by: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """For the end of a sentence; empty where nobody has reserved anything."""
        return f" beside {self.cpus:g} CPUs and {size_text(self.memory)} of {', '.join(self.by)}" if self.by else ""


def reserved_beside(runtime: Runtime, mine: Collection[str]) -> Reserved:
    """What the services that are not ``mine`` have reserved, where the runtime knows it."""
    known = {name: runtime.limits(name) for name in runtime.services() if name not in mine}
    each = [(name, one, runtime.replicas(name).wanted) for name, one in known.items() if one is not None]
    return Reserved(
        sum(one.reserved_cpus * count for _, one, count in each),
        sum(one.reserved_memory * count for _, one, count in each),
        tuple(name for name, _, _ in each),
    )
