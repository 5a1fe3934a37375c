"""Whole objects into the bucket: one request for most, parts in parallel for large ones.

Every object carries the SHA-256 of its bytes in its metadata, so that a reader need not believe the server.
"""

from __future__ import annotations

import hashlib
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from archon_dagster.errors import RepositoryError
from archon_dagster.repository.backends.base import Buffer
from archon_dagster.repository.backends.heeding import in_parallel, undisturbed
from archon_dagster.repository.backends.s3.bucket import Bucket
from archon_dagster.repository.backends.s3.errors import explained
from archon_dagster.repository.backends.s3.pace import PacedBody

WRITE = "write"
DIGEST = "sha256"
PART = 16 << 20  # bytes; S3 takes parts from 5 MiB
IN_PARTS_FROM = 64 << 20
_LARGEST_PUT = 5 << 30
_PARTS_AT_ONCE = 4


def put(bucket: Bucket, key: str, data: Buffer, **extra: Any) -> str:
    """Write an object, unconditionally or with the conditions in ``extra``; its etag.

    Raises boto3's own errors where there are conditions: only the caller knows what a refusal means.
    """
    where = bucket.where(key)
    if len(data) > _LARGEST_PUT:
        raise RepositoryError(f"{key} is {len(data)} bytes, more than S3 takes in one piece", where=where)
    metadata = extra.pop("Metadata", {}) | {DIGEST: hashlib.sha256(data).hexdigest()}
    answer = bucket.client.put_object(
        **bucket.object(key), Body=PacedBody(data, bucket.settings, where), Metadata=metadata, **extra
    )
    return str(answer["ETag"])


def put_large(bucket: Bucket, key: str, data: Buffer) -> str:
    """Write an object in parts; it appears when the last one is there, or never."""
    name, client = bucket.object(key), bucket.client
    with explained(WRITE, bucket.where(key)):
        metadata = {DIGEST: hashlib.sha256(data).hexdigest()}
        upload = client.create_multipart_upload(**name, Metadata=metadata)["UploadId"]
        try:
            parts = _upload(bucket, key, upload, memoryview(data))
            answer = client.complete_multipart_upload(**name, UploadId=upload, MultipartUpload={"Parts": parts})
        except BaseException as error:
            _give_up(bucket, key, upload, error)
            raise
    return str(answer["ETag"])


def _give_up(bucket: Bucket, key: str, upload: str, error: BaseException) -> None:
    try:
        with undisturbed():
            bucket.client.abort_multipart_upload(**bucket.object(key), UploadId=upload)
    except (ClientError, BotoCoreError) as failure:
        error.add_note(f"its parts stay on the server until a later backup removes them: {failure}")


def _upload(bucket: Bucket, key: str, upload: str, data: memoryview) -> list[dict[str, Any]]:
    def send(number: int) -> dict[str, Any]:
        body = PacedBody(data[(number - 1) * PART : number * PART], bucket.settings, bucket.where(key))
        answer = bucket.client.upload_part(**bucket.object(key), UploadId=upload, PartNumber=number, Body=body)
        return {"PartNumber": number, "ETag": answer["ETag"]}

    return in_parallel(send, range(1, -(-len(data) // PART) + 1), _PARTS_AT_ONCE)
