"""What the parts have found, as it is kept in ``benchmarks.json``: each part with the machine and the day of its own.

A part that is measured again takes the place of its last figures; the other parts keep theirs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import Row

FILE = "benchmarks.json"
ORDER = ("machine", "repository", "memory", "generator", "s3", "listing", "platform", "startup")
"""The parts, as the page shows them."""


@dataclass(frozen=True)
class Part:
    """The figures of one part.

    :param machine: where and when, and against which peers. :param facts: figures that are no rows, nested by name.
    """

    machine: Mapping[str, str]
    rows: Sequence[Row] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def fact(self, *path: str) -> float | None:
        """A figure by its path; ``None`` where it is not there."""
        found: Any = self.facts
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        return float(found) if isinstance(found, int | float) else None


Parts = Mapping[str, Part]


def load(folder: Path) -> dict[str, Part]:
    """The parts that were measured so far; none where nothing was."""
    file = folder / FILE
    if not file.exists():
        return {}
    found = json.loads(file.read_text())["parts"]
    return {name: _part(found[name]) for name in ORDER if name in found}


def save(folder: Path, parts: Parts) -> None:
    """Write all of them, with the medians and ratios for whoever only reads."""
    entries = {
        name: {"machine": dict(part.machine), "rows": [_row(row) for row in part.rows], "facts": dict(part.facts)}
        for name in ORDER
        if (part := parts.get(name)) is not None
    }
    (folder / FILE).write_text(json.dumps({"parts": entries}, indent=2) + "\n")


def _part(entry: Mapping[str, Any]) -> Part:
    rows = [
        Row(row["title"], row["seconds"], targets=row["targets"], bytes=row["bytes"]) for row in entry["rows"]
    ]  # fmt: skip
    return Part(entry["machine"], rows, entry["facts"])


def _row(row: Row) -> dict[str, Any]:
    return {
        "title": row.title, "bytes": row.bytes, "seconds": {name: list(taken) for name, taken in row.seconds.items()},
        "medians": {name: row.median(name) for name in row.seconds},
        "ratios": {name: row.ratio(name) for name in row.seconds}, "targets": dict(row.targets),
    }  # fmt: skip
