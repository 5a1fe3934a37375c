"""The structure of a tar while it streams by: which bytes are headers, which belong to which member.

:func:`members` is a generator that asks for what it wants to see next and never holds more than a header. It trusts
nothing: sizes that lie are clipped to the archive around them, and what is no header ends the archive.

Layout of a header: POSIX.1-1988 ustar, GNU tar's extensions ("Basic Tar Format" in GNU tar's manual) and pax records
(POSIX.1-2001, pax Interchange Format).
"""

from __future__ import annotations

import fnmatch
from collections.abc import Generator
from dataclasses import dataclass, field

from archon_dagster.repository.config import Chunker

BLOCK = 512
_LONGEST_RECORD = 64 * 1024  # a long name or pax record beyond this is stored like any other member, not read
_MANY, _STEP = 64, 4  # pieces of a member, beyond which they get so many times as long
_WITHOUT_BODY = b"123456"  # links, devices, directories, fifos
_LOG = ("open-*", "closed-*")  # segments of the write-ahead log: a few, appended to, and renamed when full
_IN_PLACE = (
    "chunk_*.mmap",
    "page_*.dat",
    "*tracker*",
    "bitmask.dat",
    "gaps.dat",
    "flags_*.dat",
    "deleted*.dat",
    "status.dat",
)


@dataclass(frozen=True, slots=True)
class Look:
    """Hand me the next ``size`` bytes: a header, or a record that explains the next one."""

    size: int = BLOCK


@dataclass(frozen=True, slots=True)
class Body:
    """The next ``size`` bytes (``None``: all that follow) are content.

    :param piece: cut them into pieces of this size from their start; ``None``: a small member, gather it.
    """

    size: int | None
    piece: int | None = None


@dataclass(frozen=True, slots=True)
class Boundary:
    """What was looked at last, and not yet followed by a body, begins something new."""


Request = Look | Body | Boundary


@dataclass(slots=True)
class _Header:
    name: str
    size: int
    kind: bytes
    extended: bool


@dataclass(slots=True)
class _Pending:
    """What records before a header say about it."""

    name: str | None = None
    size: int | None = None

    def apply(self, header: _Header) -> None:
        header.name = self.name if self.name is not None else header.name
        header.size = self.size if self.size is not None else header.size
        self.name = self.size = None


@dataclass(slots=True)
class _Space:
    """What is left of an archive; without end for the outermost one."""

    left: int | None
    pending: _Pending = field(default_factory=_Pending)

    def use(self, size: int) -> int:
        """Take up to ``size`` bytes."""
        if self.left is None:
            return size
        taken = min(size, self.left)
        self.left -= taken
        return taken


def members(sizes: Chunker, space: int | None = None, *, nested: bool = False) -> Generator[Request, bytes, None]:
    """Walk an archive of ``space`` bytes and ask for its parts in order; every byte is asked for exactly once."""
    here = _Space(space)
    while here.left is None or here.left >= BLOCK:
        here.use(BLOCK)
        header = _parse((yield Look()))
        if header is None:
            break
        if header.kind in b"Lxg" and 0 < header.size <= _LONGEST_RECORD:
            record = yield Look(here.use(_padded(header.size)))
            _read_record(header, record, here.pending)
            continue
        here.pending.apply(header)
        yield from _sparse_map(header, here)
        yield from _content(header, here, sizes, nested)
    yield Body(here.left)


def _content(header: _Header, here: _Space, sizes: Chunker, nested: bool) -> Generator[Request, bytes, None]:
    stored = here.use(0 if header.kind in _WITHOUT_BODY else _padded(header.size))
    if header.name.endswith(".tar") and not nested and stored:
        yield Boundary()
        yield Body(0)
        yield from members(sizes, stored, nested=True)
        yield Boundary()
    elif stored < sizes.tar_small_member:
        yield Body(stored)
    else:
        yield Body(stored, _piece_size(header.name, stored, sizes))


def _sparse_map(header: _Header, here: _Space) -> Generator[Request, bytes, None]:
    more = header.extended
    while more and (here.left is None or here.left >= BLOCK):
        here.use(BLOCK)
        block = yield Look()
        more = len(block) == BLOCK and block[504] != 0


def _piece_size(name: str, size: int, sizes: Chunker) -> int:
    """How long the pieces of a member are: see :mod:`archon_dagster.repository.tar_cutting`."""
    base = name.rpartition("/")[2]
    if _is_one_of(_LOG, base):
        return sizes.tar_piece_in_place
    piece = sizes.tar_piece_in_place if _is_one_of(_IN_PLACE, base) else sizes.tar_piece
    while size > _MANY * piece and _STEP * piece <= sizes.maximum:
        piece *= _STEP
    return piece


def _is_one_of(patterns: tuple[str, ...], name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _parse(block: bytes) -> _Header | None:
    """The header, or ``None`` for what is none (the zero blocks at an archive's end, garbage)."""
    checksum = _number(block[148:156])
    if len(block) != BLOCK or checksum != sum(block) - sum(block[148:156]) + 8 * 32:
        return None
    size = _number(block[124:136])
    if size is None:
        return None
    kind = block[156:157]
    return _Header(_text(block[:100]), size, kind, extended=kind == b"S" and block[482] != 0)


def _number(raw: bytes) -> int | None:
    """An octal number, or GNU's base-256 for large ones."""
    if raw[:1] == b"\x80":
        return int.from_bytes(raw[1:], "big")
    try:
        return int(raw.strip(b" \0") or b"0", 8) if not raw.strip(b" \0").startswith((b"-", b"+")) else None
    except ValueError:
        return None


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode(errors="replace")


def _read_record(header: _Header, record: bytes, pending: _Pending) -> None:
    if header.kind == b"L":
        pending.name = _text(record[: header.size])
    elif header.kind == b"x":
        fields = _pax(record[: header.size])
        pending.name = fields.get("GNU.sparse.name", fields.get("path", pending.name))
        if fields.get("size", "").isascii() and fields.get("size", "").isdigit():
            pending.size = int(fields["size"][:20])


def _pax(record: bytes) -> dict[str, str]:
    """``length key=value`` lines, as far as they are well formed."""
    fields: dict[str, str] = {}
    while record:
        length, space, _ = record.partition(b" ")
        if not space or not length.isdigit() or not len(length) < int(length[:8]) <= len(record):
            break
        key, equals, value = record[len(length) + 1 : int(length)].removesuffix(b"\n").partition(b"=")
        if equals:
            fields[key.decode(errors="replace")] = value.decode(errors="replace")
        record = record[int(length) :]
    return fields
