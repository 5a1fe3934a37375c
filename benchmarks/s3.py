"""The repository on S3, with and without a distant server's latency: backup, the same again, verification."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from archon_dagster.sandbox.s3.running import object_storage
from benchmarks.delay import DelayingProxy
from benchmarks.repository import ours

LATENCY = 0.02  # seconds for there and back
_OPERATIONS = {"backup": "ingest", "unchanged": "ingest", "verify": "verify"}


def run(data: Path) -> dict[str, Any]:
    """Seconds and requests of each operation on the sandbox's S3 server, which is itself far from fast."""
    found: dict[str, Any] = {"bytes": sum(path.stat().st_size for path in (data / "base").iterdir())}
    for latency in (0.0, LATENCY):
        with object_storage() as storage, DelayingProxy(storage.endpoint, latency) as proxy:
            environment = storage.environment | {"ARCHON_S3_ENDPOINT": proxy.endpoint}
            figures = found[f"{1000 * latency:.0f} ms added"] = {}
            for name, verb in _OPERATIONS.items():
                before = proxy.exchanges
                folder = [data / "base"] if verb == "ingest" else []
                done = ours(verb, storage.environment["ARCHON_REPOSITORY"], *folder, env=environment)
                figures[name] = {"seconds": done["seconds"], "requests": proxy.exchanges - before}
    return found
