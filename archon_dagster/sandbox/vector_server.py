"""The sandbox's vector server: the Qdrant-compatible one of :mod:`archon_dagster.sandbox.vectors`, or a real Qdrant."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

from archon_dagster.platform.runtime.process_spec import ProcessSpec
from archon_dagster.sandbox.ports import LOOPBACK

MODULE = "archon_dagster.sandbox.vectors"


def embedded(data: Path, port: int) -> ProcessSpec:
    """The server of this package, over Qdrant's own storage engine."""
    data.mkdir(parents=True, exist_ok=True)
    return ProcessSpec(
        # -P: the data directory, which is the working directory, is no place to import from
        command=[
            sys.executable, "-P", "-m", MODULE, "--host", LOOPBACK, "--port", str(port),
            "--storage", str(data / "storage"), "--snapshots", str(data / "snapshots"),
        ],
        cwd=data,
        version=f"qdrant-edge {version('qdrant-edge-py')}",
    )  # fmt: skip


def qdrant(command: list[str], data: Path, port: int, grpc_port: int) -> ProcessSpec:
    """A real Qdrant, configured by its environment."""
    data.mkdir(parents=True, exist_ok=True)
    return ProcessSpec(
        command=command,
        env={
            "QDRANT__SERVICE__HOST": LOOPBACK,
            "QDRANT__SERVICE__HTTP_PORT": str(port),
            "QDRANT__SERVICE__GRPC_PORT": str(grpc_port),
            "QDRANT__STORAGE__STORAGE_PATH": str(data / "storage"),
            "QDRANT__STORAGE__SNAPSHOTS_PATH": str(data / "snapshots"),
            "QDRANT__TELEMETRY_DISABLED": "true",
        },
        cwd=data,
        version=f"Qdrant ({command[0]})",
    )
