"""Chunk objects: what goes in comes out, and every damage is told apart."""

from __future__ import annotations

import hashlib
import random
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from archon_dagster.repository.chunk_format import (
    ENCRYPTED,
    HEADER,
    PLAIN,
    ZSTD,
    ChunkDamage,
    decode,
    encode,
    length_from_header,
)

NOISE = random.Random(0).randbytes(200_000)
TEXT = b"INSERT INTO files VALUES (1, 'src/main.py');\n" * 5000


def decoded(stored: bytes, plain: bytes) -> bytes:
    return bytes(decode(stored, hashlib.sha256(plain).hexdigest(), len(plain)))


@given(st.binary(max_size=3000))
def test_any_bytes_come_back(plain: bytes) -> None:
    assert decoded(encode(plain), plain) == plain


def test_text_is_compressed_and_noise_is_not() -> None:
    assert encode(TEXT)[0] == ZSTD
    assert len(encode(TEXT)) < len(TEXT) / 10
    assert encode(NOISE)[0] == PLAIN
    assert decoded(encode(TEXT), TEXT) == TEXT


def test_the_header_tells_the_length_of_the_object() -> None:
    for plain in (TEXT, NOISE):
        stored = encode(plain)
        assert length_from_header(stored[: HEADER.size]) == len(stored)


@pytest.mark.parametrize("plain", [TEXT, NOISE], ids=["compressed", "plain"])
def test_every_flipped_bit_is_found(plain: bytes) -> None:
    stored = encode(plain)
    every = range(8 * len(stored))
    for bit in every if len(every) < 5000 else [*every[:64], *random.Random(1).sample(every, 200)]:
        damaged = bytearray(stored)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ChunkDamage):
            decoded(bytes(damaged), plain)


@pytest.mark.parametrize("keep", [0, 3, 5, 100])
def test_a_truncated_chunk_says_so(keep: int) -> None:
    with pytest.raises(ChunkDamage, match="truncated"):
        decoded(encode(NOISE)[:keep], NOISE)


def test_a_decompression_bomb_is_refused_before_it_unfolds() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(256 << 20))
    with pytest.raises(ChunkDamage, match="claims to hold"):
        decode(HEADER.pack(ZSTD, 4 + len(bomb)) + zlib.crc32(bomb).to_bytes(4) + bomb, "0" * 64, 1000)


def test_an_encrypted_chunk_is_told_apart_from_a_damaged_one() -> None:
    with pytest.raises(ChunkDamage, match="encrypted"):
        decode(HEADER.pack(ENCRYPTED, 4) + b"1234", "0" * 64, 4)
