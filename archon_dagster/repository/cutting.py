"""How a stream becomes pieces, so that the next backup of nearly the same bytes has nearly the same pieces.

Each cutter takes bytes as they come and hands out pieces as they are complete; whatever the sizes it was fed with,
the pieces are the same (but for ``written``, where they are the point). Concatenated they are the input, always: a
stream that is not what it should be (a "tar" that is none) is cut worse, never refused.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Protocol

from archon_dagster.repository.config import Chunker
from archon_dagster.stores.base import Cut

Piece = bytes | bytearray


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
    """Collects slices until they are a piece; copies every byte once."""

    __slots__ = ("_slices", "size")

    def __init__(self) -> None:
        self._slices: list[memoryview] = []
        self.size = 0

    def add(self, data: memoryview) -> None:
        self._slices.append(data)
        self.size += len(data)

    def take(self) -> bytes:
        """What was collected, as one piece; the collection is empty afterwards."""
        piece = b"".join(self._slices)
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

    A cut depends only on the bytes from the piece's start, so in a buffer every piece but the last one is final.
    """

    def __init__(self, sizes: Chunker):
        from pyfastcdc import FastCDC

        self._cdc = FastCDC(avg_size=sizes.average, min_size=sizes.minimum, max_size=sizes.maximum)
        self._enough = 2 * sizes.maximum
        self._gathered = Gathering()

    def feed(self, data: bytes) -> Iterator[Piece]:
        self._gathered.add(memoryview(data))
        if self._gathered.size >= self._enough:
            held: bytes | None = None
            for piece in self._cut(self._gathered.take()):
                if held is not None:
                    yield held
                held = piece
            self._gathered.add(memoryview(held or b""))

    def finish(self) -> Iterator[Piece]:
        if self._gathered.size:
            yield from self._cut(self._gathered.take())

    def _cut(self, buffer: bytes) -> Iterator[bytes]:
        for chunk in self._cdc.cut_buf(buffer):
            yield bytes(chunk.data)


class LineCutter:
    """Ends a piece after a line chosen by the line's own hash, so that an inserted line disturbs one piece.

    The chance of a line to be chosen grows with its length: pieces come out at the average size for lines of any
    length. A record longer than the largest piece is cut inside.
    """

    def __init__(self, sizes: Chunker):
        self._minimum, self._maximum = sizes.minimum, sizes.maximum
        self._per_byte = (1 << 32) // max(1, sizes.average - sizes.minimum)
        self._buffer = bytearray()
        self._line = 0  # where the first line begins that is not known to end no piece; 0 while below the minimum
        self._searched = 0  # up to here there is no further line end

    def feed(self, data: bytes) -> Iterator[Piece]:
        self._buffer += data
        while (boundary := self._boundary()) is not None:
            yield self._cut(boundary)

    def finish(self) -> Iterator[Piece]:
        if self._buffer:
            yield self._cut(len(self._buffer))

    def _cut(self, boundary: int) -> bytes:
        piece = bytes(memoryview(self._buffer)[:boundary])
        del self._buffer[:boundary]
        self._line = self._searched = 0
        return piece

    def _boundary(self) -> int | None:
        if len(self._buffer) < self._minimum:
            return None
        if self._searched == 0:  # lines that end before the minimum can be skipped unseen
            self._line = self._buffer.rfind(b"\n", 0, self._minimum - 1) + 1
            self._searched = self._minimum - 1
        if (end := self._chosen_line()) is not None:
            return end
        if len(self._buffer) <= self._maximum:
            return None
        return self._line if self._line >= self._minimum else self._maximum

    def _chosen_line(self) -> int | None:
        """The end of the next line whose hash says so."""
        limit = min(len(self._buffer), self._maximum)
        find, crc32, start, per_byte = self._buffer.find, zlib.crc32, self._line, self._per_byte
        with memoryview(self._buffer) as view:
            while end := find(b"\n", max(start, self._searched), limit) + 1:
                self._searched = end
                if crc32(view[start:end]) < per_byte * (end - start):
                    return end
                start = end
        self._line, self._searched = start, limit
        return None
