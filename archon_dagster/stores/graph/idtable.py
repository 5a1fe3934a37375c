"""What is known about every node, by its id, in about as many bytes as the ids themselves take.

A dict of Python objects would cost over 200 bytes a node; here it is 8 for the id and a fixed width for the value.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Any


class UnknownId(KeyError):
    """An id nobody added."""

    def __init__(self, node: int):
        self.node = node
        super().__init__(node)


class DuplicateId(ValueError):
    """An id that was added twice."""

    def __init__(self, node: int):
        self.node = node
        super().__init__(f"node {node} occurs twice")


class IdTable:
    """Fixed-width values by 64-bit id: first :meth:`add` them all, then :meth:`freeze`, then :meth:`find`."""

    def __init__(self, width: int):
        self._width = width
        self._adding = array("q")
        self._bytes = bytearray()
        self._ids: Any = None
        self._values: Any = None

    def __len__(self) -> int:
        return len(self._adding) if self._ids is None else len(self._ids)

    def add(self, node: int, value: bytes) -> None:
        self._adding.append(node)
        self._bytes += value

    def values(self, rows: int) -> Iterator[list[bytes]]:
        """All values, in the order they were added, so many at a time."""
        width = self._width
        step = rows * width
        for start in range(0, len(self._bytes), step):
            piece = bytes(self._bytes[start : start + step])
            yield [piece[i : i + width] for i in range(0, len(piece), width)]

    def freeze(self) -> None:
        """Sort what was added; raises :class:`DuplicateId`."""
        import numpy as np

        ids = np.frombuffer(self._adding, dtype=np.int64)
        values = np.frombuffer(self._bytes, dtype=f"V{self._width}")
        if len(ids) > 1 and not bool((ids[1:] > ids[:-1]).all()):  # Memgraph hands nodes out by id: nothing to sort
            order = np.argsort(ids, kind="stable")
            ids, values = ids[order], values[order]
            if len(doubles := np.flatnonzero(ids[1:] == ids[:-1])):
                raise DuplicateId(int(ids[doubles[0]]))
        self._ids, self._values = ids, values

    def find(self, nodes: Sequence[int]) -> list[bytes | None]:
        """The values of many ids at once; ``None`` where an id is not known."""
        import numpy as np

        if not len(self._ids):
            return [None] * len(nodes)
        wanted = np.asarray(nodes, dtype=np.int64)
        places = np.searchsorted(self._ids, wanted).clip(max=len(self._ids) - 1)
        known = (self._ids[places] == wanted).tolist()
        found = self._values[places].tobytes()
        width = self._width
        return [found[i * width : (i + 1) * width] if ok else None for i, ok in enumerate(known)]
