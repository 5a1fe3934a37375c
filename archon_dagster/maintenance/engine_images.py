"""The images behind the services of a compose project: which they are, what their names stand for, and put back."""

from __future__ import annotations

from typing import Protocol

from docker.errors import ImageNotFound
from docker.utils import parse_repository_tag

from archon_dagster.platform.runtime.compose_engine import BALANCES, SERVICE, containers, engine


class Images(Protocol):
    """The seam of the security updates."""

    def used(self) -> dict[str, tuple[str, str]]:
        """By service: the name its container was made from, and the id of the image."""
        ...

    def parts(self) -> dict[str, str]:
        """Whom a container is part of that is no service of its own: a balancer, of the service that it balances."""
        ...

    def stands_for(self, reference: str) -> str | None:
        """The id that a name stands for now."""
        ...

    def put_back(self, reference: str, image: str) -> None:
        """Let a name stand for that image again."""
        ...


class EngineImages:
    """See :class:`Images`; the engine's own. :param project: the compose project."""

    def __init__(self, project: str):
        self._project = project

    def used(self) -> dict[str, tuple[str, str]]:
        with engine("the images could not be looked at") as client:
            return {
                one.labels[SERVICE]: (str(one.attrs["Config"]["Image"]), str(one.attrs["Image"]))
                for one in containers(client, self._project)
            }

    def parts(self) -> dict[str, str]:
        with engine("the images could not be looked at") as client:
            found = containers(client, self._project)
            return {one.labels[SERVICE]: one.labels[BALANCES] for one in found if BALANCES in one.labels}

    def stands_for(self, reference: str) -> str | None:
        with engine(f"{reference} could not be looked at") as client:
            try:
                return str(client.images.get(reference).id)
            except ImageNotFound:
                return None

    def put_back(self, reference: str, image: str) -> None:
        if "@" in reference:  # pinned by digest: it cannot stand for anything else
            return
        repository, tag = parse_repository_tag(reference)
        with engine(f"{reference} could not be put back") as client:
            client.images.get(image).tag(repository, tag or "latest")
