"""The recorded snapshots and answers of real Qdrant servers, and ways to damage them."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zstandard

from archon_dagster_tests.recorded import DATA, larger

SMALL = DATA / "qdrant"
COLLECTIONS = ("archon_vectors", "quality_vectors", "code_generation_patterns", "generous", "named")


def snapshot_of(version: str, collection: str, scratch: Path) -> Path:
    """A real snapshot as a file."""
    plain = SMALL / f"v{version}" / "snapshots" / f"{collection}.snapshot"
    if plain.exists():
        return plain
    packed = plain.with_name(f"{plain.name}.zst")
    if not packed.exists():
        return larger() / plain.relative_to(DATA)
    target = scratch / f"{version}-{plain.name}"
    with packed.open("rb") as source, target.open("wb") as file:
        zstandard.ZstdDecompressor().copy_stream(source, file)
    return target


def expected() -> dict[str, Any]:
    """What the recorded snapshots must contain; the empty collection is not in the file."""
    full: dict[str, Any] = json.loads((SMALL / "expected.json").read_text())
    return {"quality_vectors": {"count": 0, "points": {}}} | full


def recorded(version: str, note: str) -> dict[str, Any]:
    """The last answer recorded under a note."""
    lines = (SMALL / f"v{version}" / "transcript.jsonl").read_text().splitlines()
    answers = [entry for entry in map(json.loads, lines) if entry["note"] == note]
    assert answers, f"nothing is recorded as {note!r}"
    return dict(answers[-1]["answer"])


def repack(source: Path, target: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """The snapshot with each of its outer members changed, or left out where ``change`` returns nothing."""
    with tarfile.open(source) as old, tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as new:
        for member in old.getmembers():
            if not member.isreg():
                continue
            file = old.extractfile(member)
            assert file is not None
            data = change(member.name, file.read())
            if data is not None:
                plain = tarfile.TarInfo(member.name)
                plain.size = len(data)
                new.addfile(plain, io.BytesIO(data))
    return target
