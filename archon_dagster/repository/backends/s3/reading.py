"""One object as a stream that survives broken connections: it goes on where it stopped, and on the same object only.

The server's word on when an object ends does not count alone: the length it announced must arrive.
"""

from __future__ import annotations

import io
import random
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError
from urllib3.exceptions import HTTPError

from archon_dagster.repository.backends.base import ObjectChanged, ObjectNotFound, ObjectUnreadable
from archon_dagster.repository.backends.heeding import heed
from archon_dagster.repository.backends.s3.bucket import Bucket
from archon_dagster.repository.backends.s3.errors import explained, explanation, is_missing, status_of
from archon_dagster.repository.backends.s3.pace import Pace

READ = "read"
BLOCK = 256 << 10  # bytes asked of the socket at once
_FRESH_START = 64 << 20  # bytes between two breaks that have nothing to do with each other
_LONGEST_PAUSE = 5.0  # seconds


class ObjectStream(io.RawIOBase):
    """The bytes of one object, from its start.

    :param limit: refuse a larger object.
    :param first: ask for so many bytes only.
    :raises ObjectNotFound: at once, where there is none.
    """

    def __init__(self, bucket: Bucket, key: str, limit: int | None = None, *, first: int | None = None):
        super().__init__()
        self._bucket, self._key = bucket, key
        self._pace = Pace(bucket.settings, READ, bucket.where(key))
        self._position = self._failures = self._broke_at = 0
        self._raw: Any = None
        answer = self._ask(Range=f"bytes=0-{first - 1}") if first else self._ask()
        self.size = int(answer["ContentLength"]) if first is None else min(first, int(answer["ContentLength"]))
        self.etag: str = answer["ETag"]
        self.modified: datetime = answer["LastModified"].astimezone(UTC)
        self.metadata: dict[str, str] = answer.get("Metadata", {})
        self._raw = _raw(answer)
        if limit is not None and self.size > limit:
            self.close()
            raise ObjectUnreadable(f"{key} is {self.size} bytes, at most {limit} belong there", where=bucket.describe())

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if self.closed:
            raise ValueError("read from a closed object")
        target = memoryview(buffer).cast("B")
        part = self._next(len(target))
        target[: len(part)] = part
        return len(part)

    def parts(self) -> Iterator[bytes]:
        """All that is left, as it comes."""
        while part := self._next(BLOCK):
            yield part

    def close(self) -> None:
        if self._raw is not None:
            self._raw.close()
            self._raw = None
        super().close()

    def _next(self, most: int) -> bytes:
        """The next bytes; empty at the end alone."""
        most = min(most, BLOCK, self.size - self._position)
        while most > 0:
            heed()
            part, failure = self._receive(most)
            if part:
                self._position += len(part)
                return part
            self._reconnect(failure)
        return b""

    def _receive(self, most: int) -> tuple[bytes, Exception | None]:
        began = time.monotonic()
        part, failure = b"", None
        try:
            part = self._raw.read1(most)
        except (HTTPError, OSError) as error:
            failure = error
        self._pace.moved(len(part), time.monotonic() - began)
        return part, failure

    def _reconnect(self, failure: Exception | None) -> None:
        """Ask for the rest, after a pause that grows; gives up after as many attempts as any request gets."""
        self._raw.close()
        if self._position - self._broke_at > _FRESH_START:
            self._failures = 0
        self._failures, self._broke_at = self._failures + 1, self._position
        if self._failures >= self._bucket.settings.attempts:
            raise self._broken(failure) from failure
        pause = random.uniform(0.5, 1.0) * min(_LONGEST_PAUSE, 0.1 * 2**self._failures)
        threading.Event().wait(pause)
        answer = self._ask(Range=f"bytes={self._position}-", IfMatch=self.etag)
        self._raw = _raw(answer)
        if not answer.get("ContentRange", "").startswith(f"bytes {self._position}-"):
            self.close()
            raise ObjectUnreadable(
                f"{self._key} broke off and the server cannot continue in the middle",
                where=self._bucket.where(self._key),
            )

    def _broken(self, failure: Exception | None) -> Exception:
        """The error for an object that keeps breaking off: is it this one, or the server?"""
        self.close()
        where = self._bucket.where(self._key)
        answers(self._bucket, where)
        return ObjectUnreadable(
            f"{self._key} breaks off after {self._position} of {self.size} bytes",
            where=where,
            tried=f"{self._failures} times" + (f", last: {failure}" if failure else ""),
            todo="the server answers otherwise: see its log for this object",
        )

    def _ask(self, **conditions: str) -> dict[str, Any]:
        where = self._bucket.where(self._key)
        with explained(READ, where):
            try:
                answer: dict[str, Any] = self._bucket.client.get_object(**self._bucket.object(self._key), **conditions)
                return answer
            except ClientError as error:
                if is_missing(error):
                    raise ObjectNotFound(f"there is no {self._key} in the repository", where=where) from error
                if status_of(error) == 412:
                    raise ObjectChanged(f"{self._key} was replaced while it was read", where=where) from error
                if status_of(error) == 416 and "IfMatch" not in conditions:
                    return self._ask()  # there is no first byte in an empty object
                if status_of(error) == 500:
                    raise _its_own_trouble(self._bucket, self._key, error) from error
                raise


def answers(bucket: Bucket, where: str) -> None:
    """Raise what is wrong with the server, where it does not answer the smallest question either."""
    with explained(READ, where):
        bucket.client.list_objects_v2(Bucket=bucket.address.bucket, Prefix=bucket.address.prefix, MaxKeys=1)


def _its_own_trouble(bucket: Bucket, key: str, error: Exception) -> Exception:
    where = bucket.where(key)
    answers(bucket, where)
    found = explanation(error, READ, where)
    return ObjectUnreadable(f"{key}: {found.what}", where=where, tried=found.tried, todo=found.todo)


def _raw(answer: dict[str, Any]) -> Any:
    """The connection below boto3's stream, which hands out what has come instead of waiting for more."""
    return answer["Body"].__enter__()
