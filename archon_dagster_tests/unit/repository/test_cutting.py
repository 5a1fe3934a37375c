"""Cutters: nothing is lost, pieces keep their bounds, and a change disturbs few of them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archon_dagster.repository.config import Chunker
from archon_dagster.repository.cutting import cutter
from archon_dagster.stores.base import Cut
from archon_dagster_tests.unit.repository.conftest import SMALL

CUTS: Sequence[Cut] = get_args(Cut)


def pieces(cut: Cut, data: bytes, sizes: Chunker = SMALL, feed: Sequence[int] = (4096,)) -> list[bytes]:
    """Cut ``data``, fed in portions of the given sizes, over and over."""
    machine, found, position, turn = cutter(cut, sizes), [], 0, 0
    while position < len(data):
        size = feed[turn % len(feed)]
        found += [bytes(piece) for piece in machine.feed(data[position : position + size])]
        position, turn = position + size, turn + 1
    return found + [bytes(piece) for piece in machine.finish()]


def names(cut: Cut, data: bytes) -> set[bytes]:
    return {hashlib.sha256(piece).digest() for piece in pieces(cut, data)}


texts = st.lists(st.binary(max_size=300), max_size=60).map(b"\n".join)
feeds = st.lists(st.integers(1, 3000), min_size=1, max_size=5)


@pytest.mark.parametrize("cut", CUTS)
@given(data=texts, feed=feeds)
@settings(max_examples=60, deadline=None)
def test_the_pieces_of_any_stream_are_the_stream(cut: Cut, data: bytes, feed: list[int]) -> None:
    assert b"".join(pieces(cut, data, feed=feed)) == data


@pytest.mark.parametrize("cut", [cut for cut in CUTS if cut != "written"])
@given(data=texts, feed=feeds)
@settings(max_examples=60, deadline=None)
def test_pieces_do_not_depend_on_how_the_stream_arrives(cut: Cut, data: bytes, feed: list[int]) -> None:
    assert pieces(cut, data, feed=feed) == pieces(cut, data, feed=(1 << 20,))


@pytest.mark.parametrize("cut", CUTS)
@given(data=texts)
@settings(max_examples=60, deadline=None)
def test_no_piece_is_empty_or_larger_than_the_largest(cut: Cut, data: bytes) -> None:
    assert all(0 < len(piece) <= SMALL.maximum for piece in pieces(cut, data))


@pytest.mark.parametrize("cut", ["content", "lines"])
@given(data=texts)
@settings(max_examples=60, deadline=None)
def test_only_the_last_piece_may_be_smaller_than_the_smallest(cut: Cut, data: bytes) -> None:
    assert all(len(piece) >= SMALL.minimum for piece in pieces(cut, data)[:-1])


def records(count: int, seed: int = 1) -> list[bytes]:
    source = random.Random(seed)
    return [source.randbytes(source.randint(5, 60)).replace(b"\n", b" ") + b"\n" for _ in range(count)]


@pytest.mark.parametrize("cut", ["content", "lines"])
def test_an_insertion_disturbs_only_the_pieces_around_it(cut: Cut) -> None:
    lines = records(3000)
    changed = [*lines[:1500], b"a new record\n", *lines[1500:]]
    before, after = names(cut, b"".join(lines)), names(cut, b"".join(changed))
    assert len(before) > 200
    assert len(after - before) <= 6


def test_lines_are_cut_at_line_ends() -> None:
    assert all(piece.endswith(b"\n") for piece in pieces("lines", b"".join(records(2000))))


def test_lines_of_any_length_come_out_near_the_average_size() -> None:
    for length in (8, 40, 200):
        lines = [
            random.Random(number).randbytes(length).replace(b"\n", b" ") + b"\n" for number in range(200_000 // length)
        ]
        found = pieces("lines", b"".join(lines))
        assert 128 < sum(map(len, found)) / len(found) < 512


def test_a_record_longer_than_the_largest_piece_is_cut_inside() -> None:
    data = b"short\n" * 20 + b"x" * 10_000 + b"\n" + b"short\n" * 20
    found = pieces("lines", data)
    assert b"".join(found) == data
    assert max(map(len, found)) <= SMALL.maximum


def test_a_small_file_is_one_piece() -> None:
    assert pieces("whole", b"x" * 1000) == [b"x" * 1000]


def test_where_the_writer_says_so_every_write_is_a_piece() -> None:
    assert [len(piece) for piece in pieces("written", b"x" * 300, feed=(100, 7, 193))] == [100, 7, 193]
    assert max(len(piece) for piece in pieces("written", b"x" * 9000, feed=(9000,))) == SMALL.maximum
