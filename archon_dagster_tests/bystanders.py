"""Somebody else's things on the same Docker engine: whatever is done to the platform, they stay as they are."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from archon_dagster_tests.docker_command import IMAGE, docker


class Bystander:
    """Another compose project with a service of the platform's name, one that was stopped on purpose, a network, an
    image, a volume that it uses, and one that nobody uses, labelled as if it were the platform's."""

    def __init__(self, directory: Path, platform: str, undo: ExitStack) -> None:
        """:param undo: removes what is made, also where not all of it can be."""
        self._directory, self._name = directory, f"archon-test-bystander-{secrets.token_hex(4)}"
        self._volume, self._image = f"{self._name}-precious", f"{self._name}-image"
        asleep = {"image": self._image, "command": ["sleep", "86400"], "init": True, "pull_policy": "never"}
        services = {"qdrant": {**asleep, "volumes": ["theirs:/theirs"]}, "memgraph": asleep}
        directory.mkdir()
        (directory / "compose.yaml").write_text(json.dumps({"services": services, "volumes": {"theirs": {}}}))
        docker("tag", IMAGE, self._image)
        undo.callback(docker, "rmi", self._image)
        label = f"com.docker.compose.project={platform}"
        docker("volume", "create", "--label", label, "--label", "project=archon", self._volume)
        undo.callback(docker, "volume", "rm", self._volume)
        undo.callback(self._compose, "down", "--volumes", "--timeout", "1")
        self._compose("up", "--detach")
        docker("run", "--rm", "-v", f"{self._volume}:/v", "-v", f"{self._name}_theirs:/w", self._image, "sh", "-c",
               "echo precious >/v/kept; echo theirs >/w/kept")  # fmt: skip
        self._compose("stop", "--timeout", "1", "memgraph")

    def _compose(self, *arguments: str) -> str:
        where = ("--project-directory", str(self._directory), "--project-name", self._name)
        return docker("compose", *where, *arguments)

    def state(self) -> dict[str, Any]:
        """All that could have been touched: containers, networks, volumes with their files, the image."""
        label = f"label=com.docker.compose.project={self._name}"
        containers = json.loads(docker("inspect", *docker("ps", "-aq", "--filter", label).split()))
        networks = json.loads(docker("network", "inspect", f"{self._name}_default"))
        files = docker("run", "--rm", "-v", f"{self._volume}:/v", "-v", f"{self._name}_theirs:/w", self._image,
                       "cat", "/v/kept", "/w/kept")  # fmt: skip
        return {
            "containers": {one["Name"]: (one["Id"], one["State"], one["RestartCount"]) for one in containers},
            "network": networks[0]["Id"], "files": files,
            "image": docker("image", "inspect", "--format", "{{.Id}}", self._image),
        }  # fmt: skip


@contextmanager
def untouched(directory: Path, platform: str) -> Iterator[Bystander]:
    """Somebody else's things, compared at the end. :param platform: the compose project whose neighbours they are."""
    with ExitStack() as undo:
        bystander = Bystander(directory, platform, undo)
        before = bystander.state()
        yield bystander
        assert bystander.state() == before
