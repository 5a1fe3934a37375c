"""Remove what earlier builds of this compose project left behind.

Only images that carry this project's label, have no name any more and are in use by no container. Never a volume, a
container or a network, and never the build cache: it belongs to the whole engine, where others build too. The images of
the last security update stay, for that is where it goes back to.
"""

from __future__ import annotations

from docker.errors import APIError, ImageNotFound

from archon_dagster.maintenance import recorded
from archon_dagster.maintenance.step import Done, MaintenanceContext
from archon_dagster.platform.runtime.compose_engine import PROJECT, engine

_IN_USE = 409


def prune(context: MaintenanceContext) -> Done:
    """The old images of this project; says what was removed and what is left alone."""
    operation = context.operation
    if operation.runtime.kind != "compose":
        return Done("nothing to do: there are no images, programs come with the installation", idle=True)
    kept = recorded.images(operation.settings.home)
    removed, in_use = [], 0
    with engine("the old images could not be looked at") as client:
        label = f"{PROJECT}={operation.settings.compose_project}"
        for image in client.images.list(filters={"dangling": True, "label": label}):
            operation.check()
            if image.id in kept:
                continue
            try:
                client.images.remove(image.id)
                removed.append(f"{image.short_id}, {int(image.attrs.get('Size', 0)):,} bytes")
            except ImageNotFound:  # removed by somebody else
                continue
            except APIError as error:
                if error.status_code != _IN_USE:
                    raise
                in_use += 1
    detail = f"{len(removed)} images removed, {in_use} in use, {len(kept)} kept to go back to; build cache left alone"
    return Done(detail, tuple(removed), idle=not removed)
