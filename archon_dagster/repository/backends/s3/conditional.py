"""Writes that happen only if nobody was faster, also when an answer gets lost on the way.

A request that is repeated may be refused because its own first attempt succeeded. Each write therefore carries an id
in its metadata, and a refusal after a repetition is believed only if the object is not ours. Where the endpoint has no
conditional writes, or not in one step, the object is looked at before, written, and looked at again after a moment.
Then a success is exclusive, while a refusal may be a success that somebody has built upon since: enough for a lock.
"""

from __future__ import annotations

import threading
import uuid
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from archon_dagster.repository.backends.base import Buffer, ObjectChanged, ObjectExists
from archon_dagster.repository.backends.s3.bucket import Bucket
from archon_dagster.repository.backends.s3.errors import explained, is_missing, status_of, was_repeated
from archon_dagster.repository.backends.s3.probe import abilities
from archon_dagster.repository.backends.s3.writing import WRITE, put

_ID = "write"
_CONFLICTS = 5  # answers "somebody writes it right now" before giving up
SETTLE = 1.0  # seconds until everybody who looked at the same time has written
SETTLE_TWO_STEPS = 0.25  # the same where the server does the looking


class _Refused(Exception):
    """The condition was not met."""


def create(bucket: Bucket, key: str, data: Buffer) -> str:
    """Write an object that is not there yet; :class:`ObjectExists` where it is."""
    with explained(WRITE, bucket.where(key)):
        try:
            if not abilities(bucket).create_only:
                return _write_and_look(bucket, key, data, None, SETTLE)
            return _create(bucket, key, data)
        except _Refused as error:
            raise ObjectExists(f"{key} exists already", where=bucket.describe()) from error.__cause__


def swap(bucket: Bucket, key: str, data: Buffer, etag: str) -> str:
    """Replace the object that has this etag; :class:`ObjectChanged` where it is another, or gone."""
    with explained(WRITE, bucket.where(key)):
        try:
            if not etag:
                raise _Refused
            able = abilities(bucket)
            if not able.swap:
                return _write_and_look(bucket, key, data, etag, SETTLE)
            if not able.one_step:
                return _write_and_look(bucket, key, data, etag, SETTLE_TWO_STEPS, IfMatch=etag)
            return _write(bucket, key, data, uuid.uuid4().hex, IfMatch=etag)
        except _Refused as error:
            raise ObjectChanged(f"{key} was changed by somebody else", where=bucket.describe()) from error.__cause__


def _create(bucket: Bucket, key: str, data: Buffer) -> str:
    try:
        return _write(bucket, key, data, uuid.uuid4().hex, IfNoneMatch="*")
    except _Refused:
        if _etag(bucket, key) is not None:
            raise
    # some servers take the mark of a deleted version for an object
    return _write_and_look(bucket, key, data, None, SETTLE)


def _write(bucket: Bucket, key: str, data: Buffer, mark: str, **condition: str) -> str:
    pause = threading.Event()
    for attempt in range(1, _CONFLICTS + 1):
        try:
            return put(bucket, key, data, Metadata={_ID: mark}, **condition)
        except ClientError as error:
            if was_repeated(error) and (ours := _ours(bucket, key, mark)):
                return ours
            if status_of(error) == 412 or ("IfMatch" in condition and is_missing(error)):
                raise _Refused from error
            if status_of(error) != 409:
                raise
            if attempt == _CONFLICTS:
                raise _Refused from error
            pause.wait(0.05 * 2**attempt)
        except HTTPClientError as error:
            if ours := _written_unheard(bucket, key, mark, error):
                return ours
            raise
    raise AssertionError("not reached")


def _written_unheard(bucket: Bucket, key: str, mark: str, error: HTTPClientError) -> str | None:
    """The etag, if only the answer was lost and not the write; ``None`` where that cannot be known either."""
    try:
        return _ours(bucket, key, mark)
    except (ClientError, BotoCoreError) as failure:
        error.add_note(f"whether {key} was written could not be found out: {failure}")
        return None


def _write_and_look(
    bucket: Bucket, key: str, data: Buffer, expected: str | None, settle: float, **condition: str
) -> str:
    if _etag(bucket, key) != expected:
        raise _Refused
    mark = uuid.uuid4().hex
    _write(bucket, key, data, mark, **condition)
    threading.Event().wait(settle)
    if ours := _ours(bucket, key, mark):
        return ours
    raise _Refused


def _ours(bucket: Bucket, key: str, mark: str) -> str | None:
    """The etag of the object, if it is the one this write has made."""
    found = _head(bucket, key)
    return str(found["ETag"]) if found and found["Metadata"].get(_ID) == mark else None


def _etag(bucket: Bucket, key: str) -> str | None:
    found = _head(bucket, key)
    return str(found["ETag"]) if found else None


def _head(bucket: Bucket, key: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = bucket.client.head_object(**bucket.object(key))
    except ClientError as error:
        if is_missing(error):
            return None
        raise
    return found
