"""Which stores of a backup a drill tries: those that there can be a throw-away server for."""

from __future__ import annotations

from collections.abc import Sequence

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.runtime.throwaway import ThrowAway
from archon_dagster.platform.services import BY_NAME
from archon_dagster.repository.manifest import Manifest
from archon_dagster.stores.base import StoreName
from archon_dagster.stores.parts import PART


def chosen(
    servers: ThrowAway, found: Sequence[StoreName], only: Sequence[StoreName]
) -> tuple[tuple[StoreName, ...], list[str]]:
    """Which stores there can be servers for, and what to say of the others."""
    have = {BY_NAME[name].store for name in servers.services()} | {"configuration"}
    without = [name for name in found if name not in have]
    names = tuple(name for name in found if name in have)
    if (without and only) or not names:
        raise ConfigurationError(
            f"there is no throw-away server for the {', '.join(without)}: this platform has none of its own; "
            "nothing was begun",
            todo="restore into servers that you start yourself: archon restore --target FILE, with their addresses",
        )
    return names, [f"{name} left out: this platform has no server of its own for it" for name in without]


def refuse_parts(manifest: Manifest, names: Sequence[StoreName]) -> None:
    """A safety backup of one part promises nothing about the rest of its store."""
    partly = [name for name in names for artifact in manifest.of_store(name) if artifact.details.get(PART)]
    if partly:
        raise ConfigurationError(
            f"backup {manifest.id} holds only a part of the {', '.join(partly)}: there is nothing to drill",
            todo="drill a whole one: archon drill run",
        )
