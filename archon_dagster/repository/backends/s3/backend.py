"""An S3 bucket, or a part of one, as a :class:`~archon_dagster.repository.backends.base.Backend`.

An object is durable when the server has said so, hence nothing is left for a barrier to do. Whether the bytes are
those that were written is decided by digests of our own, never by the server. What a bucket's versioning keeps of
deleted objects is the bucket's business (see docs/repository.md).
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from archon_dagster.errors import RepositoryError
from archon_dagster.repository.backends.base import (
    Backend,
    Buffer,
    Check,
    ObjectChanged,
    ObjectInfo,
    ObjectNotFound,
    ObjectUnreadable,
    StoredObject,
    checked_key,
)
from archon_dagster.repository.backends.heeding import HeedingBackend
from archon_dagster.repository.backends.s3 import conditional, writing
from archon_dagster.repository.backends.s3.address import Address, parse_address
from archon_dagster.repository.backends.s3.bucket import Bucket
from archon_dagster.repository.backends.s3.errors import explained, is_missing
from archon_dagster.repository.backends.s3.probe import abilities, date_of
from archon_dagster.repository.backends.s3.reading import ObjectStream
from archon_dagster.repository.backends.s3.settings import S3Settings, load_s3_settings
from archon_dagster.repository.backends.s3.sweeping import give_up_old_uploads

_log = logging.getLogger(__name__)
_SWAPPABLE = 64 << 10  # bytes; larger objects are never touched


def open_s3(url: str) -> S3Backend:
    """The backend behind an ``s3://`` address, with the settings of the environment."""
    return S3Backend(parse_address(url), load_s3_settings())


class S3Backend:
    """Objects below ``s3://bucket/prefix``. Connects when first used."""

    def __init__(self, address: Address, settings: S3Settings):
        self._bucket = Bucket(address, settings)
        self._mutex = threading.Lock()
        self._touched: dict[str, tuple[str, str]] = {}  # key -> etag as handed out, etag since
        self._versions_seen = False

    whole = True

    def heeding(self, check: Check) -> Backend:
        return HeedingBackend(self, check)

    def describe(self) -> str:
        return self._bucket.describe()

    def close(self) -> None:
        """Close the connections; also happens by itself with the end of this object."""
        self._bucket.close()

    # reading

    def get(self, key: str, *, limit: int | None = None) -> StoredObject:
        found = self._get(key, limit)
        if found is None:
            found = self._get(key, limit)  # once more: it may have happened on the way
        if found is None:
            raise ObjectUnreadable(
                f"{key} has other bytes than were written: its SHA-256 is not the one noted with it",
                where=self._bucket.where(key),
                todo="see who else writes into the bucket; restore from another backup",
            )
        return found

    def _get(self, key: str, limit: int | None) -> StoredObject | None:
        """The object; ``None`` where its bytes do not have the digest that was noted with them."""
        with ObjectStream(self._bucket, key, limit) as stream:
            data = b"".join(stream.parts())
        noted = stream.metadata.get(writing.DIGEST)
        if noted is not None and noted != hashlib.sha256(data).hexdigest():
            return None
        return StoredObject(data, ObjectInfo(key, len(data), stream.modified, stream.etag))

    def read_start(self, key: str, size: int) -> bytes:
        with ObjectStream(self._bucket, key, first=size) as stream:
            return b"".join(stream.parts())

    def exists(self, key: str) -> ObjectInfo | None:
        # a listing, because the answer to HEAD cannot say that it is the bucket which is missing
        checked_key(key)
        page = self._page(key, MaxKeys=1)
        return next((info for info in self._infos(page) if info.key == key), None)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        page = self._page(prefix)
        yield from self._infos(page)
        while page.get("IsTruncated"):
            page = self._page(prefix, ContinuationToken=page["NextContinuationToken"])
            yield from self._infos(page)

    def _page(self, prefix: str, **more: Any) -> dict[str, Any]:
        address = self._bucket.address
        with explained("list", self._bucket.where(prefix)):
            page: dict[str, Any] = self._bucket.client.list_objects_v2(
                Bucket=address.bucket, Prefix=address.prefix + prefix, **more
            )
        return page

    def _infos(self, page: dict[str, Any]) -> Iterator[ObjectInfo]:
        start = len(self._bucket.address.prefix)
        for entry in page.get("Contents", []):
            key = entry["Key"][start:]
            folder_marker = not key or key.endswith("/")  # consoles make these
            if not folder_marker and not any(part.startswith(".") for part in key.split("/")):
                yield ObjectInfo(key, entry["Size"], entry["LastModified"].astimezone(UTC), entry["ETag"])

    def now(self) -> datetime:
        """The server's time. Where nothing may be written nothing can be decided by it, and its ``Date`` will do."""
        try:
            ahead = abilities(self._bucket).ahead
        except RepositoryError:
            ahead = timedelta()
        with explained("read the clock of", self.describe()):
            try:
                date = date_of(self._bucket.client.head_object(**self._bucket.own("clock")))
            except ClientError as error:
                if not is_missing(error):
                    raise
                date = date_of(error.response)
        if date is None:
            raise RepositoryError(
                "the S3 server does not tell the time (an answer without Date)",
                where=self.describe(),
                todo="let the proxy in front of it pass the header on, or use another server",
            )
        return date + ahead

    # writing

    def put(self, key: str, data: Buffer, *, if_absent: bool = False) -> str:
        self._forget(key)
        if if_absent:
            return conditional.create(self._bucket, key, data)
        if len(data) >= writing.IN_PARTS_FROM:
            return writing.put_large(self._bucket, key, data)
        with explained(writing.WRITE, self._bucket.where(key)):
            return writing.put(self._bucket, key, data)

    def replace(self, key: str, data: Buffer, *, if_match: str) -> str:
        etag = self._since(key, if_match)
        self._forget(key)
        return conditional.swap(self._bucket, key, data, etag)

    def touch(self, key: str, *, if_match: str) -> None:
        """Write the same bytes again, on condition that they are still the ones."""
        etag = self._since(key, if_match)
        stored = self._same(key, etag)
        fresh = conditional.swap(self._bucket, key, stored.data, etag)
        if fresh != if_match:  # with KMS, equal bytes have another etag each time
            with self._mutex:
                self._touched[key] = (if_match, fresh)

    def _same(self, key: str, etag: str) -> StoredObject:
        try:
            stored = self.get(key, limit=_SWAPPABLE)
        except ObjectNotFound as error:
            raise ObjectChanged(f"{key} was changed by somebody else", where=self.describe()) from error
        if stored.info.etag != etag:
            raise ObjectChanged(f"{key} was changed by somebody else", where=self.describe())
        return stored

    def _since(self, key: str, etag: str) -> str:
        """The etag that the object with this one has since we touched it."""
        with self._mutex:
            handed_out, fresh = self._touched.get(key, ("", ""))
        return fresh if handed_out == etag else etag

    def _forget(self, key: str) -> None:
        with self._mutex:
            self._touched.pop(key, None)

    def delete(self, key: str) -> None:
        self._forget(key)
        with explained("delete from", self._bucket.where(key)):
            answer = self._bucket.client.delete_object(**self._bucket.object(key))
        if answer.get("DeleteMarker") and not self._versions_seen:
            self._versions_seen = True
            _log.info(
                "%s keeps old versions: what is deleted takes up space until a lifecycle rule of the bucket removes "
                "noncurrent versions (docs/repository.md)",
                self.describe(),
            )

    def barrier(self, keys: Iterable[str] = ()) -> None:
        """Nothing to do: every write was durable when its answer came."""

    def sweep(self, prefix: str) -> int:
        """Give up uploads in parts that nobody can be working on any more."""
        return give_up_old_uploads(self._bucket, prefix, self.now)
