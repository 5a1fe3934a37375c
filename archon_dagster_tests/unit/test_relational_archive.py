"""The head of a custom-format archive."""

from __future__ import annotations

import pytest

from archon_dagster.stores.relational.archive import read_head, with_fixed_time


def number(value: int) -> bytes:
    return b"\0" + value.to_bytes(4, "little")


def text(value: str) -> bytes:
    return number(len(value.encode())) + value.encode()


def archive(minor: int, instant: tuple[int, ...] = (59, 58, 15, 24, 10, 126, 0)) -> bytes:
    compression = b"\0" if minor >= 15 else number(0)
    times = b"".join(map(number, instant))
    texts = text("größe") + text("15.3") + text("16.1")
    return b"PGDMP" + bytes([1, minor, 0, 4, 8, 1]) + compression + times + texts + b"the rest"


@pytest.mark.parametrize("minor", [13, 14, 15, 16])
def test_who_made_it_is_read(minor: int) -> None:
    head = read_head(archive(minor))
    assert head is not None
    assert (head.format, head.database, head.server_version, head.dump_version) == (
        f"1.{minor}", "größe", "15.3", "16.1"
    )  # fmt: skip


@pytest.mark.parametrize("minor", [14, 16])
def test_the_instant_is_the_only_thing_that_is_replaced(minor: int) -> None:
    data = archive(minor)
    head = read_head(data)
    assert head is not None
    assert with_fixed_time(data, head) == archive(minor, (0, 0, 0, 1, 0, 100, 0))


@pytest.mark.parametrize("data", [b"", b"PGDMP", b"PGDMP" + bytes(40), archive(16)[:40], b"-- SQL" * 20])
def test_anything_else_is_left_alone(data: bytes) -> None:
    assert read_head(data) is None
