"""A server's version, and what follows from it.

What a server can do is decided by its version and never by trying: after a 404 for an unknown route with a request
body, Qdrant 1.7 leaves the next request on that connection hanging.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, order=True, slots=True)
class Version:
    """Major, minor and patch; anything behind them (``-dev``) is ignored."""

    major: int
    minor: int
    patch: int = 0

    @classmethod
    def parse(cls, text: str) -> Version:
        """The first version in a text such as ``qdrant 1.18.3``; raises ``ValueError`` where there is none."""
        found = _VERSION.search(text)
        if found is None:
            raise ValueError(f"no version in {text!r}")
        return cls(int(found[1]), int(found[2]), int(found[3] or 0))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def line(self) -> tuple[int, int]:
        """Major and minor."""
        return self.major, self.minor

    @property
    def checks_uploads(self) -> bool:
        """Gives and compares snapshot checksums; before 1.8 a wrong one was ignored."""
        return self.line >= (1, 8)

    @property
    def has_query(self) -> bool:
        """Has ``/points/query``; older ones have ``/points/search`` only."""
        return self.line >= (1, 10)

    @property
    def tells_disk_use(self) -> bool:
        """Has ``/collections/{c}/memory``."""
        return self.line >= (1, 18)

    def loads(self, snapshot: Version) -> bool:
        """Whether a server of this version is documented to load a snapshot of that one: same minor or one older."""
        return self.major == snapshot.major and self.minor - snapshot.minor in (0, 1)
