"""What of the tuning has been undone since, and by whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from archon_dagster.errors import StoreError
from archon_dagster.performance.tuning import journal
from archon_dagster.performance.tuning.options import Value
from archon_dagster.performance.tuning.writers import how_to_stop, writer_of
from archon_dagster.performance.vectors import opened
from archon_dagster.platform.settings import Settings
from archon_dagster.stores.vectors.client import Client

NOBODY = "nobody that is known to write it: by hand, or with a restore, which brings the settings of its backup"


@dataclass(frozen=True, slots=True)
class Drift:
    """One setting that is not what it was tuned to. :param by: who did it. :param todo: what keeps it from that."""

    collection: str
    name: str
    wanted: Value
    now: Any
    by: str
    todo: str = ""

    @property
    def sentence(self) -> str:
        """In words."""
        return f"{self.collection}: {self.name} was tuned to {self.wanted} and is {self.now}, done by {self.by}"


def optimizers(client: Client, collection: str) -> dict[str, Any]:
    """The live settings of a collection's optimizers."""
    return dict(client.info(collection)["config"]["optimizer_config"])


def look(settings: Settings, check: Callable[[], None]) -> list[Drift]:
    """As :func:`drifts`; asks nobody where nothing was tuned. :class:`StoreError` where there is no answer."""
    if not journal.expected(settings.home):
        return []
    with opened(settings, check) as client:
        return drifts(client, settings)


def drifts(client: Client, settings: Settings) -> list[Drift]:
    """Everything that was tuned and is not so any more."""
    return [one for collection, values in journal.expected(settings.home).items()
            for one in _of(client, settings, collection, values)]  # fmt: skip


def _of(client: Client, settings: Settings, collection: str, values: dict[str, Value]) -> Iterator[Drift]:
    try:
        live = optimizers(client, collection)
    except StoreError as error:
        for name, value in values.items():
            yield Drift(collection, name, value, "not to be read", f"whatever this is: {error.what}")
    else:
        yield from compared(settings, collection, values, live)


def compared(settings: Settings, collection: str, values: dict[str, Value], live: dict[str, Any]) -> Iterator[Drift]:
    """The settings that are not as wanted, each with who writes such values."""
    writer = writer_of(collection, live)
    for name, value in values.items():
        if live.get(name) == value:
            continue
        if writer is not None and name in writer.values:
            by = f"{writer.service}, which writes exactly these values {writer.when}"
            yield Drift(collection, name, value, live.get(name), by, how_to_stop(writer, settings))
        else:
            yield Drift(collection, name, value, live.get(name), NOBODY, "archon tune qdrant tunes it again")
