"""What would be tuned: changes nothing."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from archon_dagster.errors import ConfigurationError
from archon_dagster.performance.tuning.drift import optimizers
from archon_dagster.performance.tuning.journal import Tuned
from archon_dagster.performance.tuning.options import cautions, wanted
from archon_dagster.performance.tuning.writers import at_work, how_to_stop
from archon_dagster.platform.services import ARCHON_COLLECTIONS
from archon_dagster.platform.settings import Settings
from archon_dagster.stores.vectors.client import Client


@dataclass(frozen=True)
class TuneRequest:
    """What to tune.

    :param settings: ``NAME=VALUE`` each; empty: the recommended ones.
    :param collections: empty: those of the platform that are there.
    """

    settings: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What would be changed, and what speaks against it. :param warnings: none of them keeps it from being done."""

    changes: tuple[Tuned, ...]
    same: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def plan(settings: Settings, client: Client, request: TuneRequest) -> Plan:
    """What would be changed; changes nothing. :class:`ConfigurationError` for what cannot be."""
    values, at = wanted(request.settings), time.time()
    names = _collections(client, request.collections)
    change = f"{datetime.fromtimestamp(at, UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:4]}"
    changes, same, warnings = [], [], cautions(values)
    for name in names:
        live = optimizers(client, name)
        other = {key: value for key, value in values.items() if live.get(key) != value}
        if unset := [key for key in other if live.get(key) is None]:
            raise ConfigurationError(
                f"{name} has {', '.join(unset)} unset, which could not be put back; nothing was touched",
                where=client.address,
                todo="name other settings",
            )
        if other:
            before = {key: live[key] for key in other}
            changes.append(Tuned(change=change, at=at, collection=name, before=before, wanted=other))
        else:
            same.append(name)
        if writer := at_work(settings, name, values):
            warnings.append(f"{name}: {writer.service} will undo this {writer.when}; {how_to_stop(writer, settings)}")
    return Plan(tuple(changes), tuple(same), tuple(dict.fromkeys(warnings)))


def _collections(client: Client, named: Sequence[str]) -> tuple[str, ...]:
    there = client.collections()
    if gone := [name for name in named if name not in there]:
        raise ConfigurationError(
            f"no such collection: {', '.join(gone)}; nothing was touched",
            where=client.address,
            todo=f"there are {', '.join(there) or 'none'}",
        )
    found = tuple(named) or tuple(name for name in ARCHON_COLLECTIONS if name in there)
    if not found:
        raise ConfigurationError(
            "there is no collection of the platform to tune; nothing was touched", where=client.address
        )
    return found
