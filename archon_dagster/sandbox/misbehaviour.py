"""Tell a service of the sandbox to misbehave, for tests and drills.

An order is a word in a file of the service's own directory (``slow 3``), which the service reads at each request: it
takes effect at once, outlives a restart, and is undone by taking it away. The data stores have no orders: they are
real servers, which are killed, frozen or damaged instead. Services read this module, so it imports next to nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from archon_dagster.errors import ConfigurationError
from archon_dagster.sandbox.layout import STAND_INS, Layout, layout_of

VARIABLE = "ARCHON_SANDBOX_ORDERS"
"""Names the file with a service's orders, in its environment."""

START_DELAY = "ARCHON_SANDBOX_START_DELAY"
"""Seconds during which a service that has started answers that it is not ready yet, in its environment."""

SLOW_BY = 3.0  # seconds, unless told otherwise


class How(StrEnum):
    """The ways to misbehave."""

    slow = "slow"  # every answer comes some seconds later
    hang = "hang"  # connections are accepted, answers never come
    lie = "lie"  # says that it is healthy, and nothing works
    unhealthy = "unhealthy"  # says with status 200 that it is not healthy, and nothing works
    crash = "crash"  # ends at its next start; what runs goes on
    refuse = "refuse"  # takes nobody's credentials


@dataclass(frozen=True, slots=True)
class Order:
    """What a service has been told. ``seconds`` is how slow it shall be."""

    how: How
    seconds: float = SLOW_BY


def misbehave(home: Path, service: str, how: How | str, seconds: float = SLOW_BY) -> None:
    """Make a service misbehave from its next request on, until :func:`behave`.

    :param seconds: by how much it is late with :attr:`How.slow`.
    :raises ConfigurationError: there is no such service here, or no such way.
    """
    try:
        order = Order(How(how), seconds)
    except ValueError as error:
        ways = ", ".join(How)
        raise ConfigurationError(f"no way to misbehave: {how}", todo=f"ways are {ways}; none ends it") from error
    file = _file(home, service)
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.write_text(f"{order.how} {order.seconds:g}\n")
    fresh.replace(file)


def behave(home: Path, service: str) -> None:
    """Let a service do its work again; fine where it does already."""
    _file(home, service).unlink(missing_ok=True)


def orders(home: Path) -> dict[str, Order]:
    """The services of a sandbox that have been told to misbehave."""
    layout = layout_of(home)
    found = {name: read(orders_file(layout, name)) for name in STAND_INS}
    return {name: order for name, order in found.items() if order is not None}


def orders_file(layout: Layout, service: str) -> Path:
    """Where the orders of a service are."""
    return layout.directory(service) / "misbehaviour"


def read(file: Path) -> Order | None:
    """The order in a file, if there is one that makes sense."""
    try:
        how, *more = file.read_text().split()
        return Order(How(how), float(more[0]) if more else SLOW_BY)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def _file(home: Path, service: str) -> Path:
    layout = layout_of(home)
    if service not in STAND_INS:
        raise ConfigurationError(
            f"{service} takes no orders to misbehave",
            todo=f"services that do: {', '.join(STAND_INS)}; a data store can be killed, frozen or wiped",
        )
    if not layout.directory(service).is_dir():
        raise ConfigurationError(
            f"there is no {service} in this sandbox", where=str(layout.home), todo="start it: archon sandbox up"
        )
    return orders_file(layout, service)
