"""How a chunk is written: five bytes of header, then the payload.

=====  ==========================================================================
byte   meaning
=====  ==========================================================================
0      encoding: 0 plain bytes, 1 zstd, 2 encrypted (not in this version)
1-4    length of the payload, big-endian: a truncated object gives itself away
5-     payload; of zstd: CRC-32 of the frame, big-endian, then one frame
=====  ==========================================================================

The name of a chunk is the SHA-256 of its plain bytes, so damage is found whatever the encoding. Compression has to pay
its way: float vectors shrink by 7 % and would halve the speed of backup and verification, so less than a tenth does
not count; and what does not shrink to half (vectors in a write-ahead log) is compressed at the fastest level, which
gets as far there as the next ones, five times as fast. The CRC is there because a frame has bits that a decoder
ignores: a rotting disk is found by those, too.
"""

from __future__ import annotations

import hashlib
import struct
import threading
import zlib
from typing import Final

import zstandard

from archon_dagster.repository.backends.base import Buffer

HEADER: Final = struct.Struct(">BI")
_CRC: Final = struct.Struct(">I")
PLAIN, ZSTD, ENCRYPTED = 0, 1, 2
LARGEST_PLAIN = 64 << 20  # bytes; no chunker makes larger ones, so no reader has to believe in them

_FAST, _GOOD = 1, 3  # levels of zstd
_PAYS, _PAYS_WELL = 0.9, 0.5  # compressed size by size
_SAMPLES, _SAMPLE = 8, 4 << 10


class ChunkDamage(Exception):
    """What is wrong with a chunk's bytes, for whoever knows which backup they belong to."""


class _Codec(threading.local):
    """zstandard's contexts may not be shared between threads."""

    def __init__(self) -> None:
        self.fast = zstandard.ZstdCompressor(level=_FAST)
        self.good = zstandard.ZstdCompressor(level=_GOOD)
        self.reader = zstandard.ZstdDecompressor(max_window_size=LARGEST_PLAIN)


_codec = _Codec()


def encode(plain: Buffer) -> bytes:
    """The object for a chunk's plain bytes."""
    if (compressor := _worth_trying(memoryview(plain))) is not None:
        packed = compressor.compress(plain)
        if len(packed) < _PAYS * len(plain):
            return b"".join((HEADER.pack(ZSTD, _CRC.size + len(packed)), _CRC.pack(zlib.crc32(packed)), packed))
    return b"".join((HEADER.pack(PLAIN, len(plain)), plain))


def decode(stored: bytes, sha256: str, size: int) -> memoryview:
    """The plain bytes of a chunk, proven to be what its name says; :class:`ChunkDamage` otherwise."""
    encoding, payload = _open(stored)
    if encoding == ZSTD:
        plain = memoryview(_unpack(payload, size))
    elif encoding == PLAIN:
        plain = payload
    elif encoding == ENCRYPTED:
        raise ChunkDamage("is encrypted, which this version cannot read")
    else:
        raise ChunkDamage(f"has an unknown encoding ({encoding})")
    if len(plain) != size:
        raise ChunkDamage(f"holds {len(plain)} bytes, must be {size}")
    if (found := hashlib.sha256(plain).hexdigest()) != sha256:
        raise ChunkDamage(f"has other content than was written (digest {found[:12]}…)")
    return plain


def largest_object(size: int) -> int:
    """The most bytes the object of a chunk of ``size`` plain bytes can have."""
    return HEADER.size + size + 1024  # room for what an encryption adds


def length_from_header(start: bytes) -> int | None:
    """The length the whole object must have, told by its first bytes; ``None`` where they are no header."""
    if len(start) < HEADER.size:
        return None
    encoding, length = HEADER.unpack(start[: HEADER.size])
    return HEADER.size + length if encoding in (PLAIN, ZSTD, ENCRYPTED) else None


def _open(stored: bytes) -> tuple[int, memoryview]:
    if len(stored) < HEADER.size:
        raise ChunkDamage(f"is truncated to {len(stored)} bytes")
    encoding, length = HEADER.unpack(stored[: HEADER.size])
    payload = memoryview(stored)[HEADER.size :]
    if len(payload) != length:
        kind = "truncated" if len(payload) < length else "too long"
        raise ChunkDamage(f"is {kind}: {len(payload)} bytes of payload, its header says {length}")
    return encoding, payload


def _unpack(payload: memoryview, size: int) -> bytes:
    """Decompress, but never into more than is expected: a few bytes can claim to be terabytes."""
    if payload[: _CRC.size] != _CRC.pack(zlib.crc32(payload[_CRC.size :])):
        raise ChunkDamage("has other content than was written (its CRC does not fit)")
    frame = payload[_CRC.size :]
    try:
        claimed = zstandard.frame_content_size(frame)
        if claimed != size:
            raise ChunkDamage(f"claims to hold {claimed} bytes, must be {size}")
        return _codec.reader.decompress(frame, max_output_size=size)
    except zstandard.ZstdError as error:
        raise ChunkDamage(f"does not decompress: {error}") from error


def _worth_trying(plain: memoryview) -> zstandard.ZstdCompressor | None:
    """Compress a few samples quickly instead of everything in vain; what to compress with, where it may pay."""
    if len(plain) <= _SAMPLES * _SAMPLE:
        return _codec.good if len(plain) > 64 else None
    stride = (len(plain) - _SAMPLE) // (_SAMPLES - 1)
    sample = b"".join(plain[start : start + _SAMPLE] for start in range(0, len(plain) - _SAMPLE + 1, stride))
    packed = len(_codec.fast.compress(sample)) / len(sample)
    if packed >= _PAYS:
        return None
    return _codec.fast if packed >= _PAYS_WELL else _codec.good
