"""The throw-away servers a drill restores into, as the runtime of this platform has them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.probes import address
from archon_dagster.platform.runtime.throwaway import Started, ThrowAway
from archon_dagster.platform.services import BY_NAME, CATALOGUE
from archon_dagster.platform.settings import Settings


def open_servers(settings: Settings, directory: Path, owner: str) -> ThrowAway:
    """Servers of the kind that this platform has; nothing is started yet.

    :param directory: an empty one of their own; its name tells them from others.
    :param owner: the home they belong to, as a name that no other home has.
    """
    if settings.runtime == "processes":
        return _Processes(settings.home, directory)
    if settings.runtime == "elsewhere":
        raise ConfigurationError(
            "there are no throw-away servers here: this control plane runs no services (ARCHON_RUNTIME=elsewhere)",
            todo="start empty servers yourself and restore into them: archon restore latest --target FILE, a file with "
            "their QDRANT_URL, MEMGRAPH_URI, POSTGRES_DSN; it compares and measures just so",
        )
    from archon_dagster.platform.runtime.compose_marks import Mark
    from archon_dagster.platform.runtime.compose_throwaway import ComposeThrowAway

    mark = Mark(settings.compose_project, directory.name, owner, datetime.now(UTC))
    return ComposeThrowAway(settings, directory, mark)


def remove_left(settings: Settings, directories: Sequence[Path], owner: str) -> list[str]:
    """Remove what killed drills have left; names it. :param directories: theirs, in this home."""
    removed = [directory.name for directory in directories]
    if settings.runtime == "compose":
        from archon_dagster.platform.runtime import compose_marks

        projects = compose_marks.leftovers(settings.compose_project, owner, datetime.now(UTC))
        compose_marks.remove(settings.compose_project, projects)
        removed += [name for name in projects if name.rpartition("-")[2] not in removed]
    for directory in directories:
        if settings.runtime == "processes":
            _Processes(settings.home, directory).remove()
        shutil.rmtree(directory)
    return removed


class _Processes:
    """See :class:`ThrowAway`: a second sandbox. :param home: of the first one."""

    def __init__(self, home: Path, directory: Path):
        self._home, self._directory = home, directory

    def services(self) -> tuple[str, ...]:
        """Those that hold a store."""
        return tuple(service.name for service in CATALOGUE if service.store)

    def disk(self) -> Path | None:
        """The home's."""
        return self._directory

    def start(self, services: Sequence[str], check: Callable[[], None]) -> Started:
        """See the protocol."""
        from archon_dagster.sandbox import throwaway

        made = throwaway.up(self._directory, services, like=self._home, owner_pid=os.getpid(), check=check)
        settings = made.settings
        return Started(settings, made.runtime, {name: address(BY_NAME[name], settings) for name in services})

    def remove(self) -> None:
        """See the protocol."""
        from archon_dagster.sandbox import lifecycle

        lifecycle.down(self._directory)
