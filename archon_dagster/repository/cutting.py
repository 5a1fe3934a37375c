"""How a stream becomes pieces, so that the next backup of nearly the same bytes has nearly the same pieces.

Each cutter takes bytes as they come and hands out pieces as they are complete; whatever the sizes it was fed with,
the pieces are the same (but for ``written``, where they are the point). Concatenated they are the input, always: a
stream that is not what it should be (a "tar" that is none) is cut worse, never refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from archon_dagster.repository.config import Chunker
from archon_dagster.stores.base import Cut

Piece = bytes | memoryview


class Cutter(Protocol):
    """Cuts one stream."""

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Take the next bytes; the pieces that are complete now. The iterator must be exhausted."""
        ...

    def finish(self) -> Iterator[Piece]:
        """The stream has ended; what is left."""
        ...


def cutter(cut: Cut, sizes: Chunker) -> Cutter:
    """The cutter for a kind of artifact; see :data:`~archon_dagster.stores.base.Cut`."""
    if cut == "tar":
        from archon_dagster.repository.tar_cutting import TarCutter

        return TarCutter(sizes)
    if cut == "content":
        return ContentCutter(sizes)
    if cut == "lines":
        return LineCutter(sizes)
    if cut == "written":
        return WrittenCutter(sizes.maximum)
    return FixedCutter(sizes.maximum)


class Gathering:
    """Collects slices until they are a piece; copies bytes only where they have come in several."""

    __slots__ = ("_slices", "size")

    def __init__(self) -> None:
        self._slices: list[memoryview] = []
        self.size = 0

    def add(self, data: memoryview) -> None:
        self._slices.append(data)
        self.size += len(data)

    def take(self) -> Piece:
        """What was collected, as one piece; the collection is empty afterwards."""
        piece = self._slices[0] if len(self._slices) == 1 else b"".join(self._slices)
        self._slices.clear()
        self.size = 0
        return piece


class FixedCutter:
    """Pieces of one size."""

    def __init__(self, size: int):
        self._size = size
        self._gathered = Gathering()

    def feed(self, data: bytes) -> Iterator[Piece]:
        rest = memoryview(data)
        while rest:
            room = self._size - self._gathered.size
            self._gathered.add(rest[:room])
            rest = rest[room:]
            if self._gathered.size == self._size:
                yield self._gathered.take()

    def finish(self) -> Iterator[Piece]:
        if self._gathered.size:
            yield self._gathered.take()


class WrittenCutter:
    """One piece for every write, for a writer that knows where its file can be cut; larger ones are cut up."""

    def __init__(self, largest: int):
        self._largest = largest

    def feed(self, data: bytes) -> Iterator[Piece]:
        for start in range(0, len(data), self._largest):
            yield data[start : start + self._largest]

    def finish(self) -> Iterator[Piece]:
        yield from ()


class ContentCutter:
    """FastCDC: boundaries where the content says so, for streams whose bytes shift.

    Where a piece ends depends only on the bytes from its start to the largest piece, so whatever lies at least that
    far before the end of what has come is cut for good.
    """

    def __init__(self, sizes: Chunker):
        from pyfastcdc import FastCDC

        self._cdc = FastCDC(avg_size=sizes.average, min_size=sizes.minimum, max_size=sizes.maximum)
        self._largest = sizes.maximum
        self._gathered = Gathering()

    def feed(self, data: bytes) -> Iterator[Piece]:
        self._gathered.add(memoryview(data))
        if self._gathered.size >= 2 * self._largest:
            yield from self._cut(self._largest)

    def finish(self) -> Iterator[Piece]:
        if self._gathered.size:
            yield from self._cut(1)

    def _cut(self, needed: int) -> Iterator[Piece]:
        """Pieces, as long as so many bytes are there; what is left stays gathered."""
        buffer, start = bytes(self._gathered.take()), 0
        view = memoryview(buffer)
        while len(buffer) - start >= needed:
            end = self._end(buffer, start, min(start + self._largest, len(buffer)))
            yield view[start:end]
            start = end
        if start < len(buffer):
            self._gathered.add(view[start:])

    def _end(self, buffer: bytes, start: int, limit: int) -> int:
        """Where the piece ends that begins at ``start``: before ``limit`` or there."""
        return start + int(next(self._cdc.cut_buf(memoryview(buffer)[start:limit])).length)


class LineCutter(ContentCutter):
    """As :class:`ContentCutter`, and a piece goes on to the end of its last line: it holds whole records.

    A record longer than the largest piece is cut inside.
    """

    def __init__(self, sizes: Chunker):
        super().__init__(sizes)
        self._smallest = sizes.minimum

    def _end(self, buffer: bytes, start: int, limit: int) -> int:
        end = super()._end(buffer, start, limit)
        following = buffer.find(b"\n", end - 1, limit) + 1
        return following or buffer.rfind(b"\n", start + self._smallest - 1, end) + 1 or limit
