"""Cutting a tar at its members, without unpacking it.

The files inside a Qdrant snapshot do not shift: from one snapshot to the next, a member is byte-identical, grows at
its end, or changes in place. So every member of some size is cut into fixed pieces counted from its own start, small
pieces where files change in place and large ones elsewhere; headers and small members between them are gathered.
Segments are tars inside the tar: they are opened, and begin and end a piece, so that their order does not matter.
Sparse members stay as stored. What is no tar, or stops being one, is cut into fixed pieces from there on.

Large members get larger pieces, because every piece is an object of the repository and a line of the manifest:

===========================  ===========  ===========  ===========
member                       to 16 MiB    to 64 MiB    beyond
===========================  ===========  ===========  ===========
changes in place             256 KiB      1 MiB        4 MiB
others (vectors, graph)      1 MiB        1 MiB        4 MiB
segments of the log          256 KiB      256 KiB      256 KiB
===========================  ===========  ===========  ===========

A member that grows across one of the two steps is stored anew, once for each step in its life. A collection of 100 GB
becomes about 25,000 objects where it is nearly all vectors, and 100,000 where it is all payload, in pages of 32 MiB.
The log is a few files of 32 MiB for each shard; a segment of it keeps its pieces when it is closed and renamed.
"""

from __future__ import annotations

from collections.abc import Iterator

from archon_dagster.repository.config import Chunker
from archon_dagster.repository.cutting import Gathering, Piece
from archon_dagster.repository.tar_structure import BLOCK, Body, Boundary, Look, Request, members

_PILE = 4  # a pile of small members holds at most so many times the largest small member


class TarCutter:
    """Follows :func:`~archon_dagster.repository.tar_structure.members` through the stream."""

    def __init__(self, sizes: Chunker):
        self._sizes = sizes
        self._walk = members(sizes)
        self._request: Request = next(self._walk)
        self._left: int | None = BLOCK
        self._seen = bytearray()  # looked at, and not yet known what it belongs to
        self._gathered = Gathering()  # the piece in the making

    def feed(self, data: bytes) -> Iterator[Piece]:
        rest = memoryview(data)
        while rest:
            part = rest if self._left is None else rest[: self._left]
            rest = rest[len(part) :]
            yield from self._consume(part)
            if self._left is not None:
                self._left -= len(part)
                yield from self._advance()

    def finish(self) -> Iterator[Piece]:
        self._keep_seen()
        yield from self._end_piece()

    def _consume(self, part: memoryview) -> Iterator[Piece]:
        if isinstance(self._request, Look):
            self._seen += part
            return
        piece = self._piece_size()
        while part:
            room = max(0, piece - self._gathered.size)
            self._gathered.add(part[:room])
            part = part[room:]
            if self._gathered.size >= piece:
                yield self._gathered.take()

    def _advance(self) -> Iterator[Piece]:
        """Requests that are satisfied make room for the next, which may end the piece in the making."""
        while self._left == 0:
            done = self._request
            if isinstance(done, Body) and done.piece:
                yield from self._end_piece()
            self._request = self._walk.send(bytes(self._seen[-done.size :]) if isinstance(done, Look) else b"")
            self._left = 0 if isinstance(self._request, Boundary) else self._request.size
            if not isinstance(self._request, Look):
                yield from self._begin(self._request)

    def _begin(self, request: Body | Boundary) -> Iterator[Piece]:
        if isinstance(request, Boundary):
            yield from self._end_piece()
            return
        if request.size and request.piece is None and self._would_overflow(request.size):
            yield from self._end_piece()
        self._keep_seen()
        if request.piece:
            yield from self._end_piece()

    def _would_overflow(self, size: int) -> bool:
        return self._gathered.size + len(self._seen) + size > max(1, _PILE * self._sizes.tar_small_member)

    def _piece_size(self) -> int:
        piece = self._request.piece if isinstance(self._request, Body) else None
        return piece or self._sizes.tar_piece

    def _keep_seen(self) -> None:
        if self._seen:
            self._gathered.add(memoryview(bytes(self._seen)))
            self._seen.clear()

    def _end_piece(self) -> Iterator[Piece]:
        if self._gathered.size:
            yield self._gathered.take()
