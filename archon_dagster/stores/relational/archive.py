"""The head of a ``pg_dump`` archive in custom format: who made it, of what, and when.

The instant is the only thing in it that differs between two dumps of the same data. It is replaced by a fixed one,
so that an unchanged database gives an unchanged artifact; when it was captured stands in the manifest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_MAGIC = b"PGDMP"
_CUSTOM = 1
_FIXED_TIME = (0, 0, 0, 1, 0, 100, 0)  # second, minute, hour, day, month from 0, year from 1900, summer time
HEAD = 4096  # bytes in which the whole head fits: the longest texts in it are a name and two versions


@dataclass(frozen=True, slots=True)
class ArchiveHead:
    """:param format: e.g. ``1.16``; :param server_version: of the dumped server; :param dump_version: of ``pg_dump``;
    :param time_at: offset of the instant; :param integer: bytes of a number, without its sign byte.
    """

    format: str
    database: str
    server_version: str
    dump_version: str
    time_at: int
    integer: int


def read_head(data: bytes) -> ArchiveHead | None:
    """The head of an archive, or ``None`` where the data are not an archive of a known layout (1.12 and later)."""
    if not data.startswith(_MAGIC) or len(data) < 16:
        return None
    version, integer, layout = (data[5], data[6]), data[8], data[10]
    if version < (1, 12) or version[0] != 1 or layout != _CUSTOM or integer not in (4, 8):
        return None
    # 1.15 made the compression a single byte
    time_at = 12 if version >= (1, 15) else 11 + 1 + integer
    texts_at = time_at + len(_FIXED_TIME) * (1 + integer)
    try:
        database, server, program = _texts(data, texts_at, integer)
    except (ValueError, UnicodeDecodeError):
        return None
    return ArchiveHead(f"{version[0]}.{version[1]}", database, server, program, time_at, integer)


def with_fixed_time(data: bytes, head: ArchiveHead) -> bytes:
    """The same beginning of an archive with the fixed instant in it."""
    numbers = b"".join(b"\0" + value.to_bytes(head.integer, "little") for value in _FIXED_TIME)
    return data[: head.time_at] + numbers + data[head.time_at + len(numbers) :]


def _texts(data: bytes, position: int, integer: int) -> tuple[str, str, str]:
    found = list(_strings(data, position, integer, 3))
    return found[0], found[1], found[2]


def _strings(data: bytes, position: int, integer: int, count: int) -> Iterator[str]:
    for _ in range(count):
        start = position + 1 + integer
        length = int.from_bytes(data[position + 1 : start], "little")
        position = start + length
        if data[start - integer - 1 : start - integer] != b"\0" or position > len(data):
            raise ValueError("not a text")
        yield data[start:position].decode()
