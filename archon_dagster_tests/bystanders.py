"""Somebody else's things on the same Docker engine: whatever is done to the platform, they stay as they are."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_IMAGE = os.environ.get("ARCHON_TEST_IMAGE", "python:3.12-slim-bookworm")
_LIMIT = 120.0  # seconds of any docker command


def _docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=_LIMIT)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


class Bystander:
    """Another compose project with a service of the platform's name, one that was stopped on purpose, a network, an
    image, a volume that it uses, and one that nobody uses, labelled as if it were the platform's."""

    def __init__(self, directory: Path, platform: str) -> None:
        self._directory, self._name = directory, f"archon-test-bystander-{secrets.token_hex(4)}"
        self._volume, self._image = f"{self._name}-precious", f"{self._name}-image"
        asleep = {"image": self._image, "command": ["sleep", "86400"], "init": True, "pull_policy": "never"}
        services = {"qdrant": {**asleep, "volumes": ["theirs:/theirs"]}, "memgraph": asleep}
        directory.mkdir()
        (directory / "compose.yaml").write_text(json.dumps({"services": services, "volumes": {"theirs": {}}}))
        _docker("tag", _IMAGE, self._image)
        label = f"com.docker.compose.project={platform}"
        _docker("volume", "create", "--label", label, "--label", "project=archon", self._volume)
        self._compose("up", "--detach")
        _docker("run", "--rm", "-v", f"{self._volume}:/v", "-v", f"{self._name}_theirs:/w", self._image, "sh", "-c",
                "echo precious >/v/kept; echo theirs >/w/kept")  # fmt: skip
        self._compose("stop", "--timeout", "1", "memgraph")

    def _compose(self, *arguments: str) -> str:
        where = ("--project-directory", str(self._directory), "--project-name", self._name)
        return _docker("compose", *where, *arguments)

    def state(self) -> dict[str, Any]:
        """All that could have been touched: containers, networks, volumes with their files, the image."""
        label = f"label=com.docker.compose.project={self._name}"
        containers = json.loads(_docker("inspect", *_docker("ps", "-aq", "--filter", label).split()))
        networks = json.loads(_docker("network", "inspect", f"{self._name}_default"))
        files = _docker("run", "--rm", "-v", f"{self._volume}:/v", "-v", f"{self._name}_theirs:/w", self._image,
                        "cat", "/v/kept", "/w/kept")  # fmt: skip
        return {
            "containers": {one["Name"]: (one["Id"], one["State"], one["RestartCount"]) for one in containers},
            "network": networks[0]["Id"], "files": files,
            "image": _docker("image", "inspect", "--format", "{{.Id}}", self._image),
        }  # fmt: skip

    def remove(self) -> None:
        self._compose("down", "--volumes", "--timeout", "1")
        _docker("volume", "rm", self._volume)
        _docker("rmi", self._image)


@contextmanager
def untouched(directory: Path, platform: str) -> Iterator[Bystander]:
    """Somebody else's things, compared at the end. :param platform: the compose project whose neighbours they are."""
    bystander = Bystander(directory, platform)
    try:
        before = bystander.state()
        yield bystander
        assert bystander.state() == before
    finally:
        bystander.remove()
