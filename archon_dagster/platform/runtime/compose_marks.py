"""The labels of what is made on an engine for one purpose, and its removal by them.

They say whose it is, what for, since when and until when. By these it is found, also by a later process where the one
that made it was killed; what does not carry them is never touched.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from docker.errors import NotFound

from archon_dagster.errors import ServiceError
from archon_dagster.platform.runtime.compose_engine import engine

_LABEL = "archon.throw-away"
PROJECT, OF, OWNER = _LABEL, f"{_LABEL}.of", f"{_LABEL}.owner"
PURPOSE, CREATED, EXPIRES = f"{_LABEL}.purpose", f"{_LABEL}.created", f"{_LABEL}.expires"
LIFE = timedelta(hours=26)
"""Longer than anything may last that uses them; afterwards they are anybody's to remove."""

_REMOVE_BUDGET, _AGAIN = 120.0, 1.0  # seconds

INFIX = "-restore-drill-"
"""Between the platform's project name and the id; docker/engine_proxy.py knows it too."""


@dataclass(frozen=True)
class Mark:
    """What the labels say. :param owner: the home it was started from, as a name that no other home has."""

    platform: str
    id: str
    owner: str
    created: datetime

    @property
    def project(self) -> str:
        return f"{self.platform}{INFIX}{self.id}"

    @property
    def labels(self) -> dict[str, str]:
        times = {CREATED: self.created.isoformat(timespec="seconds"),
                 EXPIRES: (self.created + LIFE).isoformat(timespec="seconds")}  # fmt: skip
        return {PROJECT: self.project, OF: self.platform, OWNER: self.owner, PURPOSE: "restore drill", **times}


def leftovers(platform: str, owner: str, now: datetime) -> list[str]:
    """Projects that somebody has left behind: those of this home, and those whose time is up.

    Call it when nobody in this home uses any.
    """
    with engine("what earlier drills have left could not be looked for") as client:
        ours = (one for one in _labels(client, platform) if one.get(PROJECT, "").startswith(f"{platform}{INFIX}"))
        found = {one[PROJECT]: one for one in ours}
    return sorted(name for name, labels in found.items() if _is_left(labels, owner, now))


def remove(platform: str, projects: Sequence[str]) -> None:
    """Remove the containers, networks and volumes of these projects, all of which carry this platform's label.

    Tried again for a while: an engine that is busy may take longer to let go of a container than it answers for.
    """
    deadline = time.monotonic() + _REMOVE_BUDGET
    while True:
        try:
            with engine(f"{', '.join(projects)} could not be removed") as client:
                for project in projects:
                    _remove(client, platform, project)
        except ServiceError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_AGAIN)
        else:
            return


def _is_left(labels: dict[str, str], owner: str, now: datetime) -> bool:
    if labels.get(OWNER) == owner:
        return True
    try:
        return datetime.fromisoformat(labels.get(EXPIRES, "")).astimezone(UTC) < now
    except ValueError:
        return False  # nobody knows: left alone


def _labels(client: Any, platform: str) -> list[dict[str, str]]:
    by = {"label": f"{OF}={platform}"}
    containers = [one.labels for one in client.containers.list(all=True, filters=by, ignore_removed=True)]
    networks = [one.attrs.get("Labels") or {} for one in client.networks.list(filters=by)]
    volumes = [one.attrs.get("Labels") or {} for one in client.volumes.list(filters=by)]
    return [*containers, *networks, *volumes]


def _remove(client: Any, platform: str, project: str) -> None:
    """Networks and volumes by their names: of the names a proxy may know, this is the only kind it lets go."""
    by = {"label": [f"{OF}={platform}", f"{PROJECT}={project}"]}
    for one in client.containers.list(all=True, filters=by, ignore_removed=True):
        with suppress(NotFound):
            one.remove(v=False, force=True)
    for network in client.networks.list(filters=by):
        with suppress(NotFound):
            network.reload()
            for member in network.attrs.get("Containers") or {}:  # this program's own
                network.disconnect(member, force=True)
            client.api.remove_network(network.name)
    for volume in client.volumes.list(filters=by):
        with suppress(NotFound):
            client.api.remove_volume(volume.name)
