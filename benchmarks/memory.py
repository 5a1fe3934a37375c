"""Memory of an ingest above the idle process, at one and at ten times the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.repository import ours


def run(data: Path, scratch: Path, times: int = 10) -> dict[str, Any]:
    """Stream the same files once and ``times`` times, made different each time so that nothing deduplicates."""
    folder = data / "base"
    return {
        f"{count}x": ours("stream", scratch / f"memory-{count}", folder, str(count))["memory_mib"]
        for count in (1, times)
    }
