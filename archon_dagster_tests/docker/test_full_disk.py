"""A vector server whose volume is full: a backup says so and leaves nothing, and with room again nothing was lost."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.context import OperationContext, open_context
from archon_dagster.errors import StoreError
from archon_dagster.platform.readiness import wait_until_ready
from archon_dagster.platform.settings import load_settings
from archon_dagster.recovery.incident import Incident
from archon_dagster_tests.docker import servers
from archon_dagster_tests.docker.conftest import Compose, name_of
from archon_dagster_tests.docker_command import docker
from archon_dagster_tests.recovering import Watched, verbs

pytestmark = [pytest.mark.docker, pytest.mark.sandbox, pytest.mark.timeout(300)]

SIZE = 192  # MiB


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    image, where = tmp_path / "disk.img", tmp_path / "disk"
    where.mkdir()
    with image.open("wb") as file:
        file.truncate(SIZE << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True, timeout=60)
    made = subprocess.run(
        ["mount", "-o", "loop", image, where], capture_output=True, text=True, timeout=60, check=False
    )
    if made.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    yield where
    subprocess.run(["umount", where], check=True, timeout=60)


@pytest.fixture
def context(disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OperationContext]:
    servers.require_same_python()
    ports = {name: servers.free_port() for name in ("qdrant", "memgraph", "postgres", "archon-agents")}
    qdrant = servers.services(ports)["qdrant"]
    qdrant["volumes"] = [*servers.MOUNTS, f"{disk}:/data"]
    project = Compose(tmp_path / "project", name_of("full"))
    project.write({"qdrant": qdrant})
    servers.write_settings(project, ports)
    monkeypatch.setenv("ARCHON_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ARCHON_PROJECT_DIR", str(project.directory))
    monkeypatch.setenv("ARCHON_RECOVERY", "restore")
    try:
        project.runtime.up()
        wait_until_ready(["qdrant"], load_settings(), project.runtime)
        yield open_context(load_settings())
    finally:
        project.remove()


def fill(context: OperationContext, count: int) -> None:
    with httpx.Client(base_url=context.settings.qdrant_url, timeout=30) as client:
        size = {"vectors": {"size": 256, "distance": "Cosine"}}
        client.put("/collections/full", json=size).raise_for_status()
        points = [{"id": number, "vector": [0.001 * (number + part) for part in range(256)]} for number in range(count)]
        client.put("/collections/full/points?wait=true", json={"points": points}).raise_for_status()


def test_a_full_volume_is_named_and_with_room_again_nothing_was_lost(context: OperationContext, disk: Path) -> None:
    fill(context, 2000)
    before = context.fingerprints(["vectors"])
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        room = os.statvfs(disk)
        os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - (256 << 10))
    request = BackupRequest(stores=("vectors",), quiesce=False, portable=False)
    with pytest.raises(StoreError, match=r"(?i)space"):
        take_backup(context, request)
    assert [entry for entry in context.repository.backups() if entry.state == "complete"] == []
    assert {one.state for one in context.runtime.status()} == {"running"}
    ballast.unlink()
    result = take_backup(context, request)
    assert result.good, [check for check in result.checks if not check.passed]
    assert context.fingerprints(["vectors"]) == before
    with httpx.Client(base_url=context.settings.qdrant_url, timeout=30) as client:
        assert client.get("/collections/full/snapshots").json()["result"] == []


def test_recovery_beside_a_full_volume_destroys_nothing_and_ends_when_there_is_room(
    context: OperationContext, disk: Path
) -> None:
    """Also with the policy that may restore: a server that cannot write has not lost what it has."""
    watched = Watched(context.settings, context.runtime)
    fill(context, 2000)
    before = context.fingerprints(["vectors"])
    watched.look()
    with (disk / "ballast").open("wb") as file:
        room = os.statvfs(disk)
        os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - (256 << 10))
    incidents = watched.recovers(lambda: docker("kill", context.runtime.status()[0].instance))
    done = {verb for one in incidents for verb in verbs(one)}
    assert "restart" in done and not done & {"set_aside", "restore"}, done
    assert all(one.state == "recovered" or "space" in told(one) for one in incidents), [told(one) for one in incidents]
    (disk / "ballast").unlink()
    wait_until_ready(["qdrant"], context.settings, context.runtime)
    assert context.fingerprints(["vectors"]) == before


def told(incident: Incident) -> str:
    return "\n".join(event.text for event in incident.events)
