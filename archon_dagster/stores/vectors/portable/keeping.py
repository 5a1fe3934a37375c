"""A portable file made while a snapshot is read for its fingerprint.

The reading happens in the engine's own process, so what is asked for travels as a small JSON file. The copy is an
extra: where it fails (no room, a point it cannot hold) the reading goes on and the reason is reported.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archon_dagster.stores.vectors.portable.layout import About
from archon_dagster.stores.vectors.portable.writing import PortableWriter


@dataclass(frozen=True)
class Keep:
    """What to write, and where.

    :param expected: about how many bytes it will have.
    """

    file: Path
    about: About
    expected: int

    def save(self, request: Path) -> None:
        """Write the request for another process."""
        fields = {"file": str(self.file), "about": self.about.to_json().decode(), "expected": self.expected}
        request.write_text(json.dumps(fields))

    @classmethod
    def load(cls, request: Path) -> Keep:
        """Read it there."""
        fields = json.loads(request.read_text())
        return cls(Path(fields["file"]), About.from_json(fields["about"].encode()), fields["expected"])


class Keeper:
    """Writes the points it is shown until something goes wrong; never raises.

    :ivar failed: why there is no whole copy; empty where there is one.
    """

    def __init__(self, keep: Keep) -> None:
        self._keep, self._writer = keep, None
        self.failed = ""
        try:
            self._writer = PortableWriter(keep.file, keep.about, keep.expected)
        except Exception as error:  # noqa: BLE001 - reported; the fingerprint matters more than the copy
            self._give_up(error)

    def add(self, point_id: Any, vector: Any, payload: Any) -> Any:
        """Write one point; returns its vectors in a form that is quicker to digest."""
        if self._writer is None:
            return vector
        try:
            return self._writer.add(point_id, vector, payload)
        except Exception as error:  # noqa: BLE001 - reported, as above
            self._give_up(error)
            return vector

    def close(self) -> str:
        """Complete the file; returns why there is none, or nothing."""
        if self._writer is not None:
            try:
                self._writer.close()
            except Exception as error:  # noqa: BLE001 - reported, as above
                self._give_up(error)
        return self.failed

    def _give_up(self, error: Exception) -> None:
        self.failed = f"{type(error).__name__}: {error}"
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None
        self._keep.file.unlink(missing_ok=True)
