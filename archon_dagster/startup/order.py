"""Who waits for whom, from the catalogue's ``depends_on``.

Only services that the runtime has count: an external one cannot be started, and a server that runs elsewhere is
somebody else's to start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.services import BY_NAME, Service

Order = dict[str, tuple[str, ...]]
"""The services to start, in an order in which they can be; each with those it waits for."""


def order_of(wanted: Iterable[str], have: Iterable[str], catalogue: Mapping[str, Service] = BY_NAME) -> Order:
    """The wanted services and everything they need, each after what it waits for.

    :param wanted: nothing named means all of them.
    :raises ConfigurationError: one is not a service of this platform, or the catalogue goes round in a circle.
    """
    there = tuple(have)
    names = tuple(dict.fromkeys(wanted)) or there
    unknown = [name for name in names if name not in there]
    if unknown:
        raise ConfigurationError(
            f"no such service here: {', '.join(unknown)}; nothing was touched", todo=f"name some of {', '.join(there)}"
        )
    order: Order = {}
    for name in names:
        _add(name, frozenset(there), catalogue, order, ())
    return order


def _add(
    name: str, have: frozenset[str], catalogue: Mapping[str, Service], order: Order, above: tuple[str, ...]
) -> None:
    if name in order:
        return
    if name in above:
        raise ConfigurationError(f"services wait for each other in a circle: {' -> '.join((*above, name))}")
    needs = tuple(other for other in catalogue[name].depends_on if other in have) if name in catalogue else ()
    for other in needs:
        _add(other, have, catalogue, order, (*above, name))
    order[name] = needs
