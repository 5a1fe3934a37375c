"""Remove the images that earlier builds and updates of this compose project left behind.

Only images that have no name any more and are in use by no container: those that carry this project's label were built
for it; of those that were pulled, exactly the ones that a security update has noted to have replaced. Never a volume, a
container or a network, and never the build cache: it belongs to the whole engine, where others build too. The images of
the last security update stay, for that is where it goes back to.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docker.errors import APIError, ImageNotFound

from archon_dagster.maintenance import recorded
from archon_dagster.maintenance.step import Done, MaintenanceContext
from archon_dagster.platform.runtime.compose_engine import PROJECT, engine

_IN_USE = 409


def prune(context: MaintenanceContext) -> Done:
    """The old images of this project; says what was removed and what is left alone."""
    operation, home = context.operation, context.operation.settings.home
    if operation.runtime.kind != "compose":
        return Done("nothing to do: there are no images, programs come with the installation", idle=True)
    kept = recorded.images(home)
    removed: dict[str, str] = {}
    in_use = 0
    with engine("the old images could not be looked at") as client:
        for image in _old(client, operation.settings.compose_project, home):
            operation.check()
            if image.id in kept or image.id in removed:
                continue
            try:
                client.images.remove(image.id)  # not forced: the engine refuses what any container uses
                removed[image.id] = f"{image.short_id}, {int(image.attrs.get('Size', 0)):,} bytes"
            except ImageNotFound:  # removed by somebody else
                continue
            except APIError as error:
                if error.status_code != _IN_USE:
                    raise
                in_use += 1
    recorded.forget(home, removed)
    detail = f"{len(removed)} images removed, {in_use} in use, {len(kept)} kept to go back to; build cache left alone"
    return Done(detail, tuple(removed.values()), idle=not removed)


def _old(client: Any, project: str, home: Path) -> Iterator[Any]:
    """Images without a name: built for the project, or noted as replaced."""
    yield from client.images.list(filters={"dangling": True, "label": f"{PROJECT}={project}"})
    for image_id in recorded.replaced(home):
        try:
            image = client.images.get(image_id)
        except ImageNotFound:
            recorded.forget(home, {image_id})
            continue
        if not image.tags:  # else somebody has given it a name again
            yield image
