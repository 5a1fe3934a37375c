"""Where a restore goes: this platform, another one by its home, or servers of which only the addresses are known.

What is operated (stores, services, journal, scratch space) is the target's, by the target's own settings; the
environment of this process has no say in them. The repository stays ours: it is the source, and keeps the safety
backup of the target. The target's configuration is never replaced: it says where the target's servers are, and the
one in the backup says where the servers of the other platform are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from archon_dagster.context import OperationContext
from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.settings import Settings, settings_of
from archon_dagster.repository.lock import Lease
from archon_dagster.repository.repository import Repository
from archon_dagster.restore.endpoints import endpoint
from archon_dagster.stores.base import STORES, StoreName
from archon_dagster.stores.open import open_stores

_SERVERS: tuple[StoreName, ...] = ("vectors", "graph", "relational")
_NAMED_BY: dict[StoreName, tuple[str, str]] = {
    "vectors": ("qdrant_url", "QDRANT_URL"),
    "graph": ("memgraph_uri", "MEMGRAPH_URI"),
    "relational": ("postgres_dsn", "POSTGRES_DSN"),
}
"""The setting without which an address is only a default, and might be anybody's; and what it is called in a file."""
_HOW = "name the ARCHON_HOME of a platform, or a file with addresses (QDRANT_URL, MEMGRAPH_URI, POSTGRES_DSN)"


@dataclass(frozen=True)
class Place:
    """Where a restore goes.

    :param context: works on the place, with our repository.
    :param ours: the settings of this control plane.
    :param target: what the operator named; empty: this platform.
    :param stores: the stores that it has.
    :param notes: what an operator should know.
    :param own: where the place's own control plane keeps its backups, and its lock; empty: where we do, or nowhere.
    """

    context: OperationContext
    ours: Settings
    target: str = ""
    stores: tuple[StoreName, ...] = STORES
    notes: tuple[str, ...] = ()
    own: str = ""

    def lock(self, purpose: str) -> AbstractContextManager[Lease | None]:
        """Keep the place's own control plane from working on it meanwhile."""
        if not self.own:
            return nullcontext()
        check = self.context.check
        return Repository.open(self.own, create=True, check=check).lock(purpose)


def open_place(context: OperationContext, target: str) -> Place:
    """The place a target names; nothing is contacted yet.

    :param target: absolute path of a home or of a file with addresses; empty for this platform.
    :raises ConfigurationError: there is no platform, or it is ours in part.
    """
    if not target:
        return Place(context, context.settings)
    path = Path(target)
    if not path.is_absolute():
        raise ConfigurationError(f"the target {target} is not an absolute path", todo="write it from the root on")
    path = path.resolve()
    if path == context.settings.home.resolve():
        return _itself(context, f"{path} is this platform itself")
    settings = _of_home(path) if path.is_dir() else _of_file(path, context.settings.home)
    stores = _named(settings)
    shared = [name for name in stores if endpoint(settings, name).is_same(endpoint(context.settings, name))]
    if stores and len(shared) == len(stores):
        return Place(
            context, context.settings, notes=(f"{path} names this platform's own servers: this is an ordinary restore",)
        )
    if shared:
        raise ConfigurationError(
            f"the target has the {' and the '.join(shared)} of this very platform; nothing was touched",
            where=str(path),
            tried=", ".join(str(endpoint(settings, name)) for name in shared),
            todo="correct its addresses; to restore into this platform, leave --target out",
        )
    return _place(context, path, settings, stores)


def _itself(context: OperationContext, why: str) -> Place:
    return Place(context, context.settings, notes=(f"{why}: this is an ordinary restore",))


def stores_at(place: Place, names: Sequence[StoreName], only: Sequence[StoreName]) -> tuple[StoreName, ...]:
    """Which stores are restored there: those it has; raises where one was asked for by name that it does not have."""
    if unable := [name for name in only if name not in place.stores]:
        raise ConfigurationError(
            f"the target has no place for the {', '.join(unable)}; nothing was touched",
            where=place.target,
            todo="; ".join(_why_not(name) for name in unable),
        )
    kept = tuple(name for name in names if name in place.stores)
    if not kept:
        raise ConfigurationError(
            "the target has a place for none of the stores of this backup; nothing was touched",
            where=place.target,
            todo="; ".join(_why_not(name) for name in names),
        )
    return kept


def missing_at(place: Place, names: Sequence[StoreName]) -> tuple[str, ...]:
    """What an operator should know of stores that are in the backup and not restored there."""
    return tuple(f"{name} left out: {_why_not(name)}" for name in names if name not in place.stores)


def _why_not(name: StoreName) -> str:
    if name == "configuration":
        return "a configuration names the servers of its own platform (archon backups export takes the files out)"
    return f"the target names no {_NAMED_BY[name][1]}"


def _of_home(path: Path) -> Settings:
    settings = settings_of(path)
    if not ((path / ".env").is_file() or (settings.project_dir / ".env").is_file()):
        raise ConfigurationError(
            "there is no platform: neither the directory nor its project directory has a .env",
            where=str(path),
            todo=_HOW,
        )
    return settings


def _of_file(path: Path, home: Path) -> Settings:
    """Only addresses: nobody here can start or stop what runs there, and our home keeps the notes."""
    if not path.is_file():
        raise ConfigurationError(
            "there is no such target", where=str(path), todo="name a home or a file with addresses"
        )
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    return settings_of(home / "targets" / f"{path.name.strip('.')}-{digest}", path, ARCHON_RUNTIME="elsewhere")


def _named(settings: Settings) -> tuple[StoreName, ...]:
    if settings.runtime != "elsewhere":
        return _SERVERS
    return tuple(name for name in _SERVERS if _NAMED_BY[name][0] in settings.model_fields_set)


def _place(context: OperationContext, path: Path, settings: Settings, stores: tuple[StoreName, ...]) -> Place:
    own, notes = _own_repository(context, settings)
    ours = settings.model_copy(update={"repository_setting": context.settings.repository})
    runtime = open_runtime(settings)
    there = replace(context, settings=ours, runtime=runtime, stores=open_stores(settings, runtime))
    return Place(there, context.settings, str(path), stores, notes, own)


def _own_repository(context: OperationContext, settings: Settings) -> tuple[str, tuple[str, ...]]:
    """Its lock is what keeps two control planes from working on one platform."""
    if settings.runtime == "elsewhere" and settings.repository_setting is None:
        return "", ("nobody else may back up or restore these servers meanwhile: there is no lock to hold there",)
    own, ours = settings.repository, context.settings.repository
    if own == ours or ("://" not in own and Path(own).resolve() == Path(ours).resolve()):
        return "", ()
    if "://" in own:
        return "", (f"no backup or restore by {own} may run meanwhile: its lock cannot be held from here",)
    if settings.repository_setting is not None and not (Path(own) / "config.json").is_file():
        return "", (f"there is no repository at {own}, whose lock could be held: nobody else may work there meanwhile",)
    return own, ()
