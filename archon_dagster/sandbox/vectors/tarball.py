"""Tar files in the real server's form: GNU format, files full of holes stored without them, reproducible.

Storage files are preallocated in 32 MiB steps and mostly empty. Python's ``tarfile`` reads GNU's sparse members but
cannot write them, so they are written here. What counts as a hole follows from a file's content (pages of zeros),
never from how the file system happens to have allocated it, and times are fixed: the same data give the same bytes.
"""

import errno
import hashlib
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

PAGE = 4096
BLOCK = 512
READ_SIZE = 1 << 20
HEADER_EXTENTS = 4
EXTENSION_EXTENTS = 21
SPARSE_MAP, IS_EXTENDED, REAL_SIZE, CHECKSUM, TYPE = 386, 482, 483, 148, 156
FILE_MODE = 0o100644

Extent = tuple[int, int]


class Malformed(Exception):
    """Not a tar file, or one that ends too early."""


class HashingFile:
    """A file that is hashed while it is written."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.size += len(data)
        return self._file.write(data)


class TarWriter:
    """Append members to a tar; the archive is complete after :meth:`close`."""

    def __init__(self, file: BinaryIO | HashingFile):
        self._file = file

    def add_bytes(self, name: str, content: bytes) -> None:
        self._file.write(_header(name, len(content)))
        self._write_padded(iter([content]), len(content))

    def add_file(self, name: str, path: Path) -> None:
        """A file, without its holes where it has any."""
        size = path.stat().st_size
        with path.open("rb") as file:
            fd = file.fileno()
            extents = list(_data_extents(fd, size)) if size > PAGE else [(0, size)]
            stored = sum(length for _, length in extents)
            header = _header(name, size) if stored == size else _sparse_header(name, size, extents)
            self._file.write(header)
            self._write_padded(_content(fd, extents), stored)

    def add_stored(self, name: str, path: Path) -> None:
        """A file as it is: a nested tar, which has no holes left."""
        size = path.stat().st_size
        self._file.write(_header(name, size))
        with path.open("rb") as file:
            self._write_padded(_content(file.fileno(), [(0, size)]), size)

    def _write_padded(self, content: Iterator[bytes], size: int) -> None:
        for piece in content:
            self._file.write(piece)
        self._file.write(bytes(-size % BLOCK))

    def close(self) -> None:
        self._file.write(bytes(2 * BLOCK))


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, FILE_MODE, 0
    return member.tobuf(tarfile.GNU_FORMAT)


def _sparse_header(name: str, size: int, extents: list[Extent]) -> bytes:
    """Old GNU sparse form: the first extents in the header, the others in blocks after it.

    The last extent must end where the file ends, so a hole there is an empty extent: GNU tar and the server's reader
    insist on it, Python's does not.
    """
    if not extents or sum(extents[-1]) != size:
        extents = [*extents, (size, 0)]
    raw = bytearray(_header(name, sum(length for _, length in extents)))
    header = raw[-BLOCK:]
    header[TYPE : TYPE + 1] = tarfile.GNUTYPE_SPARSE
    header[SPARSE_MAP:IS_EXTENDED] = _packed(extents[:HEADER_EXTENTS], HEADER_EXTENTS)
    header[IS_EXTENDED] = len(extents) > HEADER_EXTENTS
    header[REAL_SIZE : REAL_SIZE + 12] = _octal(size)
    header[CHECKSUM : CHECKSUM + 8] = b" " * 8
    header[CHECKSUM : CHECKSUM + 8] = b"%06o\0 " % sum(header)
    raw[-BLOCK:] = header
    for start in range(HEADER_EXTENTS, len(extents), EXTENSION_EXTENTS):
        chosen = extents[start : start + EXTENSION_EXTENTS]
        more = start + EXTENSION_EXTENTS < len(extents)
        raw += (_packed(chosen, EXTENSION_EXTENTS) + bytes([more])).ljust(BLOCK, b"\0")
    return bytes(raw)


def _packed(extents: list[Extent], room: int) -> bytes:
    return b"".join(_octal(offset) + _octal(length) for offset, length in extents).ljust(room * 24, b"\0")


def _octal(number: int) -> bytes:
    return b"%011o\0" % number


def _data_extents(fd: int, size: int) -> Iterator[Extent]:
    """Where a file holds anything but zeros, in whole pages, neighbours joined."""
    start = end = 0
    for offset in _data_pages(fd, size):
        if offset != end:
            if end > start:
                yield start, end - start
            start = offset
        end = min(offset + PAGE, size)
    if end > start:
        yield start, end - start


def _data_pages(fd: int, size: int) -> Iterator[int]:
    zeros = bytes(PAGE)
    position = _next_data(fd, 0, size)
    while position < size:
        chunk = os.pread(fd, READ_SIZE, position)
        for inner in range(0, len(chunk), PAGE):
            page = chunk[inner : inner + PAGE]
            if page != zeros[: len(page)]:
                yield position + inner
        position = _next_data(fd, position + READ_SIZE, size)


def _next_data(fd: int, position: int, size: int) -> int:
    """Skip a hole, to the start of the page where data begin; where that cannot be asked, everything is read."""
    if position >= size or not hasattr(os, "SEEK_DATA"):
        return position
    try:
        return os.lseek(fd, position, os.SEEK_DATA) // PAGE * PAGE
    except OSError as error:
        return size if error.errno == errno.ENXIO else position  # ENXIO: only a hole is left


def _content(fd: int, extents: list[Extent]) -> Iterator[bytes]:
    for offset, length in extents:
        end = offset + length
        while offset < end:
            piece = os.pread(fd, min(READ_SIZE, end - offset), offset)
            if not piece:
                raise Malformed("a file became shorter while it was packed")
            yield piece
            offset += len(piece)


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a file; its holes stay holes."""
    size = source.stat().st_size
    with source.open("rb") as read, target.open("wb") as written:
        for offset, length in _data_extents(read.fileno(), size):
            written.seek(offset)
            for piece in _content(read.fileno(), [(offset, length)]):
                written.write(piece)
        written.truncate(size)


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """One plain file or directory; the standard library's own filters are missing before Python 3.11.4."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or not (member.isreg() or member.isdir()):
        raise Malformed(f"failed to unpack `{target / member.name}`: it does not belong in a snapshot")
    if member.isdir():
        (target / path).mkdir(parents=True, exist_ok=True)
        return
    (target / path).parent.mkdir(parents=True, exist_ok=True)
    tar.makefile(member, str(target / path))


def unpack(archive: Path, target: Path) -> None:
    """Every member of a tar below ``target``; holes stay holes, and nothing is written outside.

    :raises Malformed: not a tar, or truncated; ``args[0]`` says where in the real server's words.
    """
    target.mkdir(parents=True, exist_ok=True)
    current = ""
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                current = member.name
                _extract(tar, member, target)
    except (tarfile.TarError, OSError, EOFError) as error:
        place = f"failed to unpack `{target / current}`" if current else "Malformed tar archive, reached unknown entry"
        raise Malformed(place) from error
