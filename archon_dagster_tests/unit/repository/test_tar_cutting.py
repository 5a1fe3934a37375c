"""Cutting tars: member-aligned, nested segments opened, and never refusing a byte."""

from __future__ import annotations

import hashlib
import io
import random
import tarfile
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archon_dagster.repository.config import Chunker, MiB
from archon_dagster.repository.tar_structure import BLOCK, Body, Look, members
from archon_dagster_tests.unit.repository.conftest import SMALL
from archon_dagster_tests.unit.repository.test_cutting import pieces


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def tar(members: dict[str, bytes], format: int = tarfile.GNU_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def new_bytes(before: bytes, after: bytes) -> int:
    known = {hashlib.sha256(piece).digest() for piece in pieces("tar", before)}
    return sum(len(piece) for piece in pieces("tar", after) if hashlib.sha256(piece).digest() not in known)


def test_a_large_member_is_cut_from_its_own_start() -> None:
    content = noise(5000)
    assert content[:1024] in pieces("tar", tar({"small.json": b"{}", "matrix.dat": content}))


def test_files_that_change_in_place_get_small_pieces() -> None:
    content = noise(2048)
    found = pieces("tar", tar({"wal/open-1": content, "matrix.dat": noise(2048, 1)}))
    assert content[:512] in found
    assert noise(2048, 1)[:1024] in found


def test_small_members_and_headers_share_a_piece() -> None:
    data = tar({f"{number}.json": b"{}" for number in range(10)})
    assert pieces("tar", data, sizes=Chunker()) == [data]


def test_a_member_that_grows_in_front_does_not_move_the_others() -> None:
    before = tar({"a.dat": noise(3000, 1), "matrix.dat": noise(20_000, 2)})
    after = tar({"a.dat": noise(3000, 1) + noise(700, 3), "matrix.dat": noise(20_000, 2)})
    assert new_bytes(before, after) < 4000


def test_a_segment_of_the_log_that_is_closed_keeps_its_pieces() -> None:
    before = tar({"0/wal/open-7": noise(9000, 1)})
    after = tar({"0/wal/closed-41": noise(8800, 1) + noise(200, 2), "0/wal/open-8": noise(100, 3)})
    assert new_bytes(before, after) < 3000


def piece_of(name: str, size: int) -> int:
    """How long the pieces of a member in a snapshot are."""
    return next(body.piece or 0 for body in bodies([{name: size}]) if body.size and body.size >= size)


def bodies(segments: list[dict[str, int]]) -> Iterator[Body]:
    """What is asked for of a snapshot with these members, told by its headers alone."""
    headers = [header for segment in segments for header in headers_of(segment)]
    walk = members(Chunker())
    request = next(walk)
    while not (isinstance(request, Body) and request.size is None):
        if isinstance(request, Body):
            yield request
        request = walk.send(headers.pop(0) if isinstance(request, Look) and headers else bytes(BLOCK))


def headers_of(segment: dict[str, int]) -> Iterator[bytes]:
    stored = sum(BLOCK - (-size // BLOCK) * BLOCK for size in segment.values())
    for name, size in {"0/segments/one.tar": stored, **segment}.items():
        info = tarfile.TarInfo(name)
        info.size = size
        yield info.tobuf(tarfile.GNU_FORMAT)


def objects_of(segments: list[dict[str, int]]) -> int:
    return sum(-(-(body.size or 0) // (body.piece or body.size or 1)) for body in bodies(segments))


GB = 10**9
PAGES = {f"payload_storage/page_{number}.dat": 32 * MiB for number in range(300)}


@pytest.mark.parametrize(
    ("segment", "most"),
    [
        ({"matrix.dat": 10 * GB}, 25_000),
        (PAGES, 100_000),
        ({"matrix.dat": 6 * GB, "links.bin": GB // 2, "id_tracker.mappings": GB // 2, **dict(list(PAGES.items())[:90])},
         50_000),
    ],
)  # fmt: skip
def test_a_hundred_gigabytes_do_not_become_a_million_objects(segment: dict[str, int], most: int) -> None:
    segments = 100 * GB // sum(segment.values())
    assert most / 3 < objects_of([segment] * segments) < most


def test_a_member_that_grows_is_cut_anew_twice_at_most() -> None:
    for name, sizes in {"page_0.dat": {256 << 10, 1 * MiB, 4 * MiB}, "matrix.dat": {1 * MiB, 4 * MiB}}.items():
        found = [piece_of(name, size) for size in range(MiB, 200 * MiB, MiB)]
        assert found == sorted(found)
        assert set(found) == sizes
    assert {piece_of("open-1", size * MiB) for size in (1, 32, 100)} == {256 << 10}


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_the_order_of_segments_does_not_matter(format: int) -> None:
    one = tar({"snapshot/files/matrix.dat": noise(9000, 1), "snapshot/files/segment.json": b"{}"})
    two = tar({"snapshot/files/matrix.dat": noise(7000, 2), "snapshot/files/segment.json": b"{}"})
    before = tar({"0/segments/one.tar": one, "0/segments/two.tar": two, "config.json": b"{}"}, format)
    after = tar({"0/segments/two.tar": two, "0/segments/one.tar": one, "config.json": b"{}"}, format)
    assert new_bytes(before, after) <= 1024 + 2 * 512


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_long_name_is_read(format: int) -> None:
    content = noise(2048)
    long = "/".join(["a-rather-long-directory-name"] * 8) + "/open-1"
    assert content[:512] in pieces("tar", tar({long: content}, format))


def test_sparse_members_stay_as_stored() -> None:
    header = bytearray(tarfile.TarInfo("page_0.dat").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = b"S"
    header[124:136] = b"%011o\0" % 1024
    header[482] = 1
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    more, content = bytes(512), noise(1024)
    following = noise(3000, 4)
    data = bytes(header) + more + content + tar({"matrix.dat": following})
    found = pieces("tar", data)
    assert b"".join(found) == data
    assert {content[:512], following[:1024]} <= set(found)


def test_what_calls_itself_a_tar_and_is_none_is_stored_all_the_same() -> None:
    data = tar({"0/segments/broken.tar": noise(10_000), "matrix.dat": noise(3000, 2)})
    found = pieces("tar", data)
    assert b"".join(found) == data
    assert noise(3000, 2)[:1024] in found


@given(position=st.integers(0, 20_000), garbage=st.binary(min_size=1, max_size=600), keep=st.integers(0, 40_000))
@settings(max_examples=150, deadline=None)
def test_a_damaged_or_truncated_tar_loses_no_byte(position: int, garbage: bytes, keep: int) -> None:
    inner = tar({"matrix.dat": noise(6000, 1), "id_tracker.mappings": noise(900, 2)})
    data = bytearray(tar({"0/segments/one.tar": inner, "config.json": b"{}", "wal/open-1": noise(4000, 3)}))
    data[position : position + len(garbage)] = garbage
    damaged = bytes(data[:keep])
    found = pieces("tar", damaged, feed=(700,))
    assert b"".join(found) == damaged
    assert all(0 < len(piece) <= SMALL.maximum * 5 for piece in found)
