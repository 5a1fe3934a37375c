"""What every backend promises, on every kind of storage: a directory, moto, VersityGW, and any endpoint named."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from archon_dagster.errors import RepositoryError
from archon_dagster.repository.backends.base import Backend, ObjectChanged, ObjectExists, ObjectNotFound
from archon_dagster_tests.eventually import eventually


def together(work: Callable[[int], object], count: int) -> None:
    """Call ``work`` in so many threads at once; fails when one does."""
    start = threading.Barrier(count)

    def run(number: int) -> None:
        start.wait(30)
        work(number)

    with ThreadPoolExecutor(count) as threads:
        list(threads.map(run, range(count)))


@pytest.mark.parametrize("content", [b"", b"content", bytes(range(256)) * 20_000], ids=["empty", "small", "large"])
def test_what_is_put_can_be_got(backend: Backend, content: bytes) -> None:
    backend.put("chunks/ab/cd", content)
    assert backend.get("chunks/ab/cd").data == content
    assert backend.read_start("chunks/ab/cd", 3) == content[:3]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_kind_of_buffer_can_be_put(backend: Backend, kind: Callable[[bytes], bytes]) -> None:
    backend.put("a/b", kind(b"content"))
    assert backend.get("a/b").data == b"content"


def test_what_is_said_about_an_object_is_the_same_from_all_sides(backend: Backend) -> None:
    etag = backend.put("a/b", b"content")
    found, (listed,), got = backend.exists("a/b"), backend.list("a/"), backend.get("a/b").info
    assert found == listed
    assert (got.key, got.size, got.etag) == ("a/b", 7, etag)
    assert found is not None and (found.key, found.size) == ("a/b", 7)
    assert found.modified.utcoffset() == got.modified.utcoffset() == timedelta()


def test_what_is_not_there_is_not_found(backend: Backend) -> None:
    for read in (backend.get, lambda key: backend.read_start(key, 3)):
        with pytest.raises(ObjectNotFound, match="chunks/ab/cd"):
            read("chunks/ab/cd")
    assert backend.exists("chunks/ab/cd") is None
    backend.delete("chunks/ab/cd")


def test_an_object_whose_name_another_begins_with_is_not_taken_for_it(backend: Backend) -> None:
    backend.put("a/bc", b"")
    assert backend.exists("a/b") is None


@pytest.mark.parametrize("key", ["../x", "/etc/passwd", "a//b", "", "a/../b", ".hidden", "a/.b", "a b", "a\0b", "a\\b"])
def test_a_key_cannot_leave_the_repository(backend: Backend, key: str) -> None:
    for use in (backend.get, backend.exists, backend.delete, lambda key: backend.put(key, b"")):
        with pytest.raises(RepositoryError, match="not a key"):
            use(key)


def test_an_object_larger_than_allowed_is_not_read(backend: Backend) -> None:
    backend.put("x", b"12345")
    with pytest.raises(RepositoryError, match="at most 4"):
        backend.get("x", limit=4)
    assert backend.get("x", limit=5).data == b"12345"


def test_put_replaces_and_delete_removes(backend: Backend) -> None:
    backend.put("a/b", b"first")
    backend.put("a/b", b"second")
    assert backend.get("a/b").data == b"second"
    backend.delete("a/b")
    assert backend.exists("a/b") is None


# under a condition


def test_create_only_never_replaces(backend: Backend) -> None:
    etag = backend.put("a/b", b"first", if_absent=True)
    with pytest.raises(ObjectExists, match="a/b"):
        backend.put("a/b", b"second", if_absent=True)
    with pytest.raises(ObjectExists):
        backend.put("a/b", b"first", if_absent=True)
    assert (backend.get("a/b").data, backend.get("a/b").info.etag) == (b"first", etag)


def test_of_many_creators_one_wins(backend: Backend) -> None:
    won: list[int] = []

    def create(number: int) -> None:
        try:
            backend.put("locks/x", str(number).encode(), if_absent=True)
        except ObjectExists:
            return
        won.append(number)

    together(create, 16)
    assert [str(number).encode() for number in won] == [backend.get("locks/x").data]


def test_of_many_swappers_of_one_object_at_most_one_succeeds(backend: Backend) -> None:
    for _ in range(6):
        won: list[int] = []
        etag = backend.put("locks/x", b"free")

        def take(number: int, etag: str = etag, won: list[int] = won) -> None:
            try:
                backend.replace("locks/x", str(number).encode(), if_match=etag)
            except ObjectChanged:
                return
            won.append(number)

        together(take, 8)
        assert len(won) <= 1
        assert not won or backend.get("locks/x").data == str(won[0]).encode()


def test_of_many_swaps_none_is_lost(one_step: Backend) -> None:
    one_step.put("locks/counter", b"0")

    def count(_: int) -> None:
        for _ in range(10):
            while True:
                seen = one_step.get("locks/counter")
                try:
                    one_step.replace("locks/counter", str(int(seen.data) + 1).encode(), if_match=seen.info.etag)
                    break
                except ObjectChanged:
                    continue

    together(count, 4)
    assert one_step.get("locks/counter").data == b"40"


def test_a_swap_gives_the_etag_for_the_next(backend: Backend) -> None:
    etag = backend.put("locks/x", b"1")
    etag = backend.replace("locks/x", b"2", if_match=etag)
    backend.replace("locks/x", b"3", if_match=etag)
    assert backend.get("locks/x").data == b"3"


def test_a_swap_of_something_else_is_refused(backend: Backend) -> None:
    etag = backend.put("locks/x", b"mine")
    backend.put("locks/x", b"theirs")
    with pytest.raises(ObjectChanged):
        backend.replace("locks/x", b"mine again", if_match=etag)
    with pytest.raises(ObjectChanged):
        backend.touch("locks/x", if_match=etag)
    for nothing in ("locks/nothing", "locks/x"):
        with pytest.raises(ObjectChanged):
            backend.replace(nothing, b"", if_match="")
    with pytest.raises(ObjectChanged):
        backend.replace("locks/nothing", b"", if_match=etag)
    with pytest.raises(ObjectChanged):
        backend.touch("locks/nothing", if_match=etag)
    assert backend.get("locks/x").data == b"theirs"
    assert backend.exists("locks/nothing") is None


def test_touch_moves_the_time_of_change_only(backend: Backend) -> None:
    etag = backend.put("locks/x", b"mine")
    first = backend.get("locks/x")

    def touched() -> bool:
        backend.touch("locks/x", if_match=etag)
        return backend.get("locks/x").info.modified > first.info.modified

    eventually(touched)
    assert (backend.get("locks/x").data, backend.get("locks/x").info.etag) == (b"mine", etag)


def test_the_clock_is_that_of_the_objects(backend: Backend) -> None:
    backend.put("a/b", b"")
    assert abs(backend.get("a/b").info.modified - backend.now()) < timedelta(seconds=5)
    assert abs(backend.now() - datetime.now(UTC)) < timedelta(seconds=5)


# listing


def test_listing_shows_the_objects_below_a_prefix(backend: Backend) -> None:
    for key in ("chunks/ab/1", "chunks/cd/2", "backups/x.json", "config.json"):
        backend.put(key, b"123")
    assert {(info.key, info.size) for info in backend.list("chunks/")} == {("chunks/ab/1", 3), ("chunks/cd/2", 3)}
    assert {info.key for info in backend.list("chunks/a")} == {"chunks/ab/1"}
    assert {info.key for info in backend.list("")} == {"chunks/ab/1", "chunks/cd/2", "backups/x.json", "config.json"}
    assert list(backend.list("nothing/")) == []


def test_nothing_of_the_backend_s_own_is_left_or_listed(backend: Backend) -> None:
    backend.now()
    etag = backend.put("locks/x", b"", if_absent=True)
    backend.touch("locks/x", if_match=etag)
    assert [info.key for info in backend.list("")] == ["locks/x"]


def test_more_objects_than_fit_on_a_page_are_all_listed(backend: Backend) -> None:
    keys = {f"verifications/{number:04}.json" for number in range(1100)}
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: backend.put(key, b""), keys))
    assert {info.key for info in backend.list("verifications/")} == keys


def test_writes_from_many_threads_are_all_there_after_the_barrier(backend: Backend) -> None:
    together(lambda number: [backend.put(f"chunks/{number}/{n}", bytes([n]) * 5000) for n in range(10)], 8)
    backend.barrier(["chunks/0/0"])
    assert {backend.get(f"chunks/{n}/3").data for n in range(8)} == {b"\3" * 5000}
    assert len(list(backend.list("chunks/"))) == 80


def test_sweeping_leaves_objects_alone(backend: Backend) -> None:
    backend.put("chunks/ab/cd", b"content")
    assert backend.sweep("chunks/") == 0
    assert backend.get("chunks/ab/cd").data == b"content"
