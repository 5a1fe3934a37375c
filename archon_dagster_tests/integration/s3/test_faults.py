"""A server or a network that misbehaves: what can be repaired is, and the rest is said plainly and in time."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from archon_dagster.errors import RepositoryError
from archon_dagster.repository.backends.base import ObjectChanged, ObjectExists, ObjectUnreadable
from archon_dagster.repository.backends.s3 import conditional
from archon_dagster.repository.backends.s3.backend import S3Backend
from archon_dagster.repository.backends.s3.reading import BLOCK, ObjectStream
from archon_dagster.repository.repository import Repository
from archon_dagster.sandbox.ports import any_free
from archon_dagster.stores.base import Work
from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.integration.s3.faulty_proxy import Fault, FaultyProxy
from archon_dagster_tests.integration.s3.servers import Server
from archon_dagster_tests.unit.repository.conftest import Clock, back_up, read_back

CONTENT = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture
def behind(strict: Server, proxy: FaultyProxy) -> Iterator[S3Backend]:
    """A backend behind the proxy, with an object in it, that has found out already what the server can do."""
    backend = strict.at(proxy.endpoint).backend(ARCHON_S3_READ_TIMEOUT=1)
    backend.put("chunks/ab/cd", CONTENT)
    backend.now()
    yield backend
    proxy.mend()
    backend.close()


# reading


@pytest.mark.parametrize("fault", ["busy", "broken", "reset", "silence", "reset midway", "truncated", "other bytes"])
def test_a_read_that_fails_once_is_repeated(behind: S3Backend, proxy: FaultyProxy, fault: Fault) -> None:
    proxy.fail(fault, method="GET", containing="chunks", times=1)
    assert behind.get("chunks/ab/cd").data == CONTENT


def test_a_stream_that_breaks_goes_on_where_it_stopped(behind: S3Backend, proxy: FaultyProxy) -> None:
    proxy.fail("reset midway", method="GET", containing="chunks", times=2)
    with ObjectStream(behind._bucket, "chunks/ab/cd") as stream:
        assert b"".join(stream.parts()) == CONTENT
    assert len([request for request in proxy.requests if request.startswith("GET") and "chunks" in request]) == 3


def test_a_stream_never_goes_on_with_another_object(behind: S3Backend, proxy: FaultyProxy) -> None:
    proxy.fail("truncated", method="GET", containing="chunks", times=1)
    with io.BufferedReader(ObjectStream(behind._bucket, "chunks/ab/cd"), BLOCK) as stream:
        start = stream.read(1000)
        behind.put("chunks/ab/cd", CONTENT[::-1])
        with pytest.raises(ObjectChanged, match="replaced while it was read"):
            stream.read()
    assert start == CONTENT[:1000]


@pytest.mark.parametrize("fault", ["reset midway", "truncated"])
def test_an_object_that_always_breaks_off_is_unreadable_while_others_are_not(
    behind: S3Backend, proxy: FaultyProxy, fault: Fault
) -> None:
    behind.put("chunks/ab/ef", b"well")
    proxy.fail(fault, method="GET", containing="chunks/ab/cd")
    with pytest.raises(ObjectUnreadable, match=r"breaks off after \d+ of 1048576 bytes") as caught:
        behind.get("chunks/ab/cd")
    assert caught.value.tried
    assert behind.get("chunks/ab/ef").data == b"well"


def test_an_object_the_server_cannot_read_is_unreadable_while_others_are_not(
    behind: S3Backend, proxy: FaultyProxy
) -> None:
    proxy.fail("broken", method="GET", containing="chunks/ab/cd")
    with pytest.raises(ObjectUnreadable, match=r"error of its own.*InternalError") as caught:
        behind.get("chunks/ab/cd")
    assert "3 times" in str(caught.value)


def test_a_server_that_fails_with_everything_makes_no_object_unreadable(behind: S3Backend, proxy: FaultyProxy) -> None:
    proxy.fail("broken")
    with pytest.raises(RepositoryError) as caught:
        behind.get("chunks/ab/cd")
    assert type(caught.value) is RepositoryError


def test_bytes_that_are_not_those_written_are_never_returned(behind: S3Backend, proxy: FaultyProxy) -> None:
    proxy.fail("other bytes", method="GET", containing="chunks")
    with pytest.raises(ObjectUnreadable, match="other bytes than were written"):
        behind.get("chunks/ab/cd")


def test_a_trickle_is_given_up_in_time(behind: S3Backend, proxy: FaultyProxy) -> None:
    proxy.fail("trickle", method="GET", containing="chunks")
    began = time.monotonic()
    with pytest.raises(RepositoryError, match="too slow") as caught:
        behind.get("chunks/ab/cd")
    assert time.monotonic() - began < 20
    assert "bytes moved in" in str(caught.value)
    assert type(caught.value) is not ObjectUnreadable


@pytest.mark.parametrize(("fault", "words"), [("busy", "overloaded"), ("silence", "stopped answering")])
def test_a_fault_that_stays_says_what_was_tried_and_what_to_do(
    behind: S3Backend, proxy: FaultyProxy, fault: Fault, words: str
) -> None:
    proxy.fail(fault)
    for action in (
        lambda: behind.get("chunks/ab/cd"),
        lambda: behind.put("chunks/ab/ef", b""),
        lambda: list(behind.list("")),
    ):
        with pytest.raises(RepositoryError, match=words) as caught:
            action()
        assert caught.value.where and "tests/" in caught.value.where
        assert caught.value.tried and caught.value.todo


def test_a_server_that_is_down_is_said_to_be(strict: Server) -> None:
    backend = strict.at(f"http://127.0.0.1:{any_free()}").backend()
    with pytest.raises(RepositoryError, match="cannot be reached") as caught:
        backend.get("chunks/ab/cd")
    assert "ARCHON_S3_ENDPOINT" in str(caught.value)


def test_https_to_a_server_without_it_is_explained(strict: Server) -> None:
    if strict.endpoint.startswith("https:"):
        pytest.skip("the endpoint that is named is encrypted")
    backend = strict.at(strict.endpoint.replace("http://", "https://")).backend(ARCHON_S3_ATTEMPTS=1)
    with pytest.raises(RepositoryError, match="encrypted connection failed"):
        backend.get("chunks/ab/cd")


def test_a_wrong_secret_is_named_and_not_shown(strict: Server) -> None:
    backend = strict.backend(ARCHON_S3_SECRET="not the right one")
    with pytest.raises(RepositoryError, match="secret key is wrong") as caught:
        backend.put("chunks/ab/cd", b"")
    chain = f"{caught.value}{caught.value.__cause__}"
    assert "not the right one" not in chain and strict.secret not in chain


def test_an_unknown_key_is_named(strict: Server) -> None:
    with pytest.raises(RepositoryError, match="access key is not known"):
        list(strict.backend(ARCHON_S3_KEY="nobody").list(""))


# permissions


def test_who_may_only_read_can_list_and_export(strict: Server, tmp_path: Path) -> None:
    backend = strict.backend()
    manifest = back_up(Repository.on(backend, create=True), {"a": CONTENT})
    backend.close()
    with FaultyProxy(strict.endpoint) as unknown:  # an address whose abilities are not known yet
        for method in ("PUT", "POST", "DELETE"):
            unknown.fail("denied", method=method)
        reader = strict.at(unknown.endpoint).backend(backend._bucket.address.prefix)
        repository = Repository.on(reader)
        assert repository.holder() is None
        assert [entry.id for entry in repository.backups()] == [manifest.id]
        repository.export(repository.resolve("latest"), tmp_path / "out")
        assert abs(reader.now() - datetime.now(UTC)) < timedelta(seconds=5)
        with pytest.raises(RepositoryError, match="access was denied"), repository.begin("manual"):
            pytest.fail("it may not write")
        reader.close()
    assert CONTENT in [path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_who_may_not_list_uploads_is_told_and_goes_on(
    behind: S3Backend, proxy: FaultyProxy, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.fail("denied", method="GET", containing="uploads")
    assert behind.sweep("chunks/") == 0
    assert "unfinished uploads" in caplog.text


# writing


@pytest.mark.parametrize("fault", ["busy", "broken", "reset", "lost answer", "silence"])
def test_a_write_that_fails_once_is_repeated(behind: S3Backend, proxy: FaultyProxy, fault: Fault) -> None:
    proxy.fail(fault, method="PUT", containing="chunks", times=1)
    behind.put("chunks/ab/ef", CONTENT)
    assert behind.get("chunks/ab/ef").data == CONTENT


@pytest.mark.parametrize("lost", [1, 3], ids=["once", "always"])
def test_a_creation_whose_answer_was_lost_is_no_failure(behind: S3Backend, proxy: FaultyProxy, lost: int) -> None:
    proxy.fail("lost answer", method="PUT", containing="locks", times=lost)
    etag = behind.put("locks/x", b"mine", if_absent=True)
    assert behind.get("locks/x").info.etag == etag
    with pytest.raises(ObjectExists):
        behind.put("locks/x", b"mine", if_absent=True)


def test_a_swap_whose_answer_was_lost_is_no_failure(behind: S3Backend, proxy: FaultyProxy) -> None:
    etag = behind.put("locks/x", b"1")
    proxy.fail("lost answer", method="PUT", containing="locks", times=1)
    etag = behind.replace("locks/x", b"2", if_match=etag)
    proxy.fail("lost answer", method="PUT", containing="locks", times=1)
    behind.touch("locks/x", if_match=etag)
    behind.replace("locks/x", b"3", if_match=etag)
    assert behind.get("locks/x").data == b"3"


# a server without conditional writes


@pytest.fixture
def unconditional(servers: dict[str, Server], monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Backend]:
    """A backend on a server that ignores conditions without a word (moto behind a proxy that takes them away)."""
    monkeypatch.setattr(conditional, "SETTLE", 0.2)
    with FaultyProxy(servers["moto"].endpoint) as proxy:
        proxy.fail("no conditions", method="PUT")
        backend = servers["moto"].at(proxy.endpoint).backend()
        yield backend
        backend.close()


def test_a_server_that_ignores_conditions_is_found_out_and_named_once(
    unconditional: S3Backend, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(2):
        unconditional.put(f"locks/{number}", b"", if_absent=True)
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "no conditional writes" in warning.message
    assert "If-None-Match" in warning.message and "If-Match" in warning.message
    assert [info.key for info in unconditional.list("")] == ["locks/0", "locks/1"]


def test_without_conditions_what_is_there_is_still_not_replaced(unconditional: S3Backend) -> None:
    etag = unconditional.put("locks/x", b"first", if_absent=True)
    with pytest.raises(ObjectExists):
        unconditional.put("locks/x", b"second", if_absent=True)
    fresh = unconditional.replace("locks/x", b"second", if_match=etag)
    unconditional.touch("locks/x", if_match=fresh)
    with pytest.raises(ObjectChanged):
        unconditional.replace("locks/x", b"third", if_match=etag)
    assert unconditional.get("locks/x").data == b"second"


def test_without_conditions_one_of_two_who_create_at_once_wins(unconditional: S3Backend) -> None:
    unconditional.now()
    start, won = threading.Barrier(2), list[int]()

    def create(number: int) -> None:
        start.wait(30)
        try:
            unconditional.put("locks/x", str(number).encode(), if_absent=True)
        except ObjectExists:
            return
        won.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [str(number).encode() for number in won] == [unconditional.get("locks/x").data]


# the clock


def test_a_proxy_whose_clock_is_wrong_does_not_make_every_lock_old(strict: Server, proxy: FaultyProxy) -> None:
    proxy.fail("late date")
    backend = strict.at(proxy.endpoint).backend()
    backend.put("locks/x", b"")
    assert abs(backend.get("locks/x").info.modified - backend.now()) < timedelta(seconds=5)


def test_a_server_that_does_not_tell_the_time_is_refused(behind: S3Backend, proxy: FaultyProxy) -> None:
    proxy.fail("no date")
    with pytest.raises(RepositoryError, match="does not tell the time"):
        behind.now()


# a server that dies


def test_a_server_that_goes_away_in_the_middle_of_a_backup_leaves_the_earlier_ones_whole(
    strict: Server, proxy: FaultyProxy, work: Work
) -> None:
    backend = strict.at(proxy.endpoint).backend(ARCHON_S3_READ_TIMEOUT=1)
    repository, clock = Repository.on(backend, create=True), Clock()
    before = back_up(repository, {"a": CONTENT}, clock=clock)
    with (
        pytest.raises(RepositoryError, match="closed the connection"),
        repository.lock("backup", lease=2) as lease,
        repository.begin("manual", lease=lease, clock=clock) as pending,
        pending.artifact("vectors", "b", "k", media_type="x/y", cut="content") as artifact,
    ):
        artifact.write(CONTENT[::-1])
        proxy.fail("reset")
        artifact.write(CONTENT * 3)
    proxy.mend()
    assert [entry.id for entry in repository.backups() if entry.state == "complete"] == [before.id]
    assert repository.verify(before.id, work).passed
    eventually(lambda: repository.holder() is None)  # it could not be given back
    after = back_up(repository, {"b": CONTENT * 3}, clock=clock)
    assert read_back(repository, after) == {"b": CONTENT * 3}
    backend.close()
