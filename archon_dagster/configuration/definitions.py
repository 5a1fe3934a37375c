"""Whose definition in a compose project changes with the ``.env``, as compose itself resolves it.

A compose file may put any variable anywhere: into a port, an image, a limit, a command. Who reads a variable in that
way is for compose to say; that a service reads one in its own environment, the table of variables knows.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from archon_dagster.configuration.diff import Difference
from archon_dagster.configuration.envfile import parse
from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.runtime.compose_engine import BALANCES
from archon_dagster.platform.runtime.compose_project import ComposeProject
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.settings import Settings

_PROJECT = "COMPOSE_PROJECT_NAME"


def redefined(
    settings: Settings, runtime: Runtime, changes: Difference, before: bytes | None, after: bytes | None
) -> frozenset[str]:
    """The services that compose would define differently; a balancer is part of the one that it balances.

    :raises ConfigurationError: compose does not accept the project with the new file, or the file leads to another
        project; nothing was touched.
    """
    if runtime.kind != "compose" or not changes.changes:
        return frozenset()
    if any(change.key == _PROJECT for change in changes.changes):
        _require_same_project(settings, after)
    project = ComposeProject(settings.project_dir, settings.compose_project)
    try:
        old = _services(project, before)
    except ConfigurationError:
        old = {}  # the file that is there is what is being mended
    new = _services(project, after)
    return frozenset(
        definition.get("labels", {}).get(BALANCES, name)
        for name, definition in new.items() if old and old.get(name) != definition
    )  # fmt: skip


def _require_same_project(settings: Settings, content: bytes | None) -> None:
    said = parse(content or b"").values.get(_PROJECT)
    name = said.value if said else str(Settings.model_fields["compose_project"].default)
    if name != settings.compose_project:
        raise ConfigurationError(
            f"the project would be {name}, and compose would make every service of it once more, on new and empty "
            f"volumes, beside the containers of {settings.compose_project}; nothing was touched",
            where=f"{_PROJECT} in the new file",
            todo=f"leave it: {_PROJECT}={settings.compose_project}; to move a platform: archon restore --target",
        )


def _services(project: ComposeProject, content: bytes | None) -> Mapping[str, dict[str, Any]]:
    with _as_file(content) as file:
        services: Mapping[str, dict[str, Any]] = project.config_with(file).get("services") or {}
    return services


@contextmanager
def _as_file(content: bytes | None) -> Iterator[Path]:
    """A file for its owner only; there are secrets in it."""
    if content is None:
        yield Path(os.devnull)
        return
    with tempfile.NamedTemporaryFile(prefix="archon-", suffix=".env") as file:
        file.write(content)
        file.flush()
        yield Path(file.name)
