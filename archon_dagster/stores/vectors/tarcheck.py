"""Is a tar whole? Decided while it streams by, without extracting anything.

``tarfile``, and Qdrant's engine with it, take an archive that was cut off between two members for a complete one. A
complete one ends in at least 1,024 zero bytes right after its last member, which is checked here, and every header's
own checksum on the way. The tars *nested* in a snapshot end there in old servers and without any mark in newer ones
(1.18 does so): of them it can only be asked that they do not stop inside a member, and that their last ones are there.

The scanner is fed pieces of any size; its memory is bounded by the small members it was asked to keep.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec

P = ParamSpec("P")

BLOCK = 512
_KEPT_LIMIT = 8 << 20  # bytes of one kept member, long name or extended header


class IncompleteTar(ValueError):
    """Where the archive stops being one, and how."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member: its name, its kind as in the header, and the bytes stored for it (sparse ones: without holes)."""

    name: str
    kind: bytes
    stored: int


class TarScanner:
    """Feed it the archive, then :meth:`close` it.

    :param keep: members whose content is wanted, by name; found in :attr:`kept` afterwards.
    :param nested: members that are archives themselves and are scanned too, by name; found in :attr:`inside`.
    :param keep_nested: as ``keep``, for the members of those.
    """

    def __init__(
        self,
        keep: Callable[[str], bool] = lambda _: False,
        nested: Callable[[str], bool] = lambda _: False,
        keep_nested: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.members: list[Member] = []
        self.kept: dict[str, bytes] = {}
        self.inside: dict[str, TarScanner] = {}
        self.ended = False
        self._keep, self._nested, self._keep_nested = keep, nested, keep_nested
        self._pending = bytearray()  # an unfinished block
        self._body = self._padding = self._offset = self._zeros = 0
        self._long_name: str | None = None
        self._sink: Callable[[memoryview], object] | None = None
        self._finish: Callable[[], None] = _nothing
        self._sparse_follows = False
        self._current: Member | None = None

    def feed(self, data: bytes | memoryview) -> None:
        """The next bytes of the archive; raises :class:`IncompleteTar` at the first one that does not belong."""
        view = memoryview(data)
        while view:
            if self._body and not self._sparse_follows:
                view = self._content(view)
            elif self._padding and not self._sparse_follows:
                skip = min(self._padding, len(view))
                self._padding -= skip
                view = self._advance(view, skip)
            else:
                view = self._block(view)

    def close(self) -> None:
        """Raise :class:`IncompleteTar` unless the archive came to its end."""
        self.close_unmarked()
        if not self.ended:
            last = f" after {self.members[-1].name}" if self.members else ""
            raise IncompleteTar(f"it stops at byte {self._offset}{last}, without the end mark of a whole archive")

    def close_unmarked(self) -> None:
        """Raise :class:`IncompleteTar` if the archive stops in the middle of something; no end mark is asked for."""
        if self._body or self._padding or self._pending or self._sparse_follows:
            where = f" inside {self._current.name}" if self._current else ""
            raise IncompleteTar(f"it stops at byte {self._offset + len(self._pending)}{where}")

    def _advance(self, view: memoryview, count: int) -> memoryview:
        self._offset += count
        return view[count:]

    def _content(self, view: memoryview) -> memoryview:
        piece = view[: self._body]
        if self._sink is not None:
            self._sink(piece)
        self._body -= len(piece)
        view = self._advance(view, len(piece))
        if not self._body:
            self._finish()
        return view

    def _block(self, view: memoryview) -> memoryview:
        need = BLOCK - len(self._pending)
        self._pending += view[:need]
        if len(self._pending) == BLOCK:
            block, self._pending = bytes(self._pending), bytearray()
            self._offset += BLOCK
            if self._sparse_follows:
                self._extension(block)
            else:
                self._header(block)
        return view[need:]

    def _header(self, block: bytes) -> None:
        if not any(block):
            self._zeros += 1
            self.ended = self.ended or self._zeros >= 2
            return
        if self._zeros:
            raise IncompleteTar(f"something follows the end mark at byte {self._offset - BLOCK}")
        _check_sum(block, self._offset - BLOCK)
        kind, size = block[156:157], _number(block[124:136])
        if kind == b"L":
            self._collect(size, self._take_long_name)
        elif kind in b"xg":
            self._collect(size, self._take_extended)
        else:
            self._member(block, kind, size)
        self._padding = -size % BLOCK

    def _member(self, block: bytes, kind: bytes, size: int) -> None:
        name, self._long_name = self._long_name or _name(block), None
        self._current = Member(name, kind, size)
        self.members.append(self._current)
        self._body, self._sink, self._finish = size, None, _nothing
        self._sparse_follows = kind == b"S" and block[482] != 0
        if kind == b"S":
            return
        if self._nested(name):
            inner = self.inside[name] = TarScanner(self._keep_nested)
            self._sink, self._finish = _named(inner.feed, name), _named(inner.close_unmarked, name)
            if not size:
                self._finish()
        elif self._keep(name):
            self._collect(size, lambda data: self.kept.__setitem__(name, data))

    def _extension(self, block: bytes) -> None:
        self._sparse_follows = block[504] != 0

    def _collect(self, size: int, take: Callable[[bytes], None]) -> None:
        if size > _KEPT_LIMIT:
            raise IncompleteTar(f"a header at byte {self._offset - BLOCK} claims {size} bytes")
        kept = bytearray()
        self._body, self._sink = size, kept.extend
        self._finish = lambda: take(bytes(kept))
        if not size:
            self._finish()

    def _take_long_name(self, data: bytes) -> None:
        self._long_name = data.rstrip(b"\0").decode("utf-8", "surrogateescape")

    def _take_extended(self, data: bytes) -> None:
        """Of a pax header only the name matters here; Qdrant's writer does not use these at all."""
        for line in data.split(b"\n"):
            _, _, setting = line.partition(b" ")
            if setting.startswith(b"path="):
                self._long_name = setting[5:].decode("utf-8", "surrogateescape")


def _nothing() -> None: ...


def _named(step: Callable[P, None], name: str) -> Callable[P, None]:
    """What goes wrong inside a nested archive is reported with that archive's name."""

    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            step(*args, **kwargs)
        except IncompleteTar as error:
            raise IncompleteTar(f"{name}: {error}") from error

    return call


def _name(block: bytes) -> str:
    name = block[:100].split(b"\0", 1)[0]
    if block[257:263] == b"ustar\0":  # POSIX: a prefix; GNU ("ustar ") keeps times there
        prefix = block[345:500].split(b"\0", 1)[0]
        name = prefix + b"/" + name if prefix else name
    return name.decode("utf-8", "surrogateescape")


def _number(field: bytes) -> int:
    if field[0] & 0x80:  # base 256, for members of 8 GiB and more
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    try:
        return int(field.strip(b" \0") or b"0", 8)
    except ValueError as error:
        raise IncompleteTar(f"a header has {field!r} for a size") from error


def _check_sum(block: bytes, offset: int) -> None:
    expected = _number(block[148:156])
    if expected != sum(block[:148]) + sum(block[156:]) + 8 * 32:
        raise IncompleteTar(f"there is no valid member header at byte {offset}")
