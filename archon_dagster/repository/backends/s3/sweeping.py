"""Uploads in parts that were never completed: they cost space, and nobody sees them in a listing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from archon_dagster.repository.backends.s3.bucket import Bucket
from archon_dagster.repository.backends.s3.errors import explained, status_of

_log = logging.getLogger(__name__)
_ABANDONED_AFTER = timedelta(hours=1)  # none of ours takes that long, not even on the slowest line it puts up with
_NOT_ALLOWED = (403, 405, 501)


def give_up_old_uploads(bucket: Bucket, prefix: str, now: Callable[[], datetime]) -> int:
    """Abort what was begun below ``prefix`` more than an hour ago; how many.

    Where the server or the permissions do not allow it, that is said, and everything else goes on.
    """
    with explained("clean up", bucket.where(prefix)):
        try:
            uploads = list(_uploads(bucket, prefix))
            old = [one for one in uploads if now() - one["Initiated"] > _ABANDONED_AFTER]
            for one in old:
                bucket.client.abort_multipart_upload(
                    Bucket=bucket.address.bucket, Key=one["Key"], UploadId=one["UploadId"]
                )
        except ClientError as error:
            if status_of(error) not in _NOT_ALLOWED:
                raise
            _log.warning("unfinished uploads in %s stay where they are: %s", bucket.describe(), error)
            return 0
    return len(old)


def _uploads(bucket: Bucket, prefix: str) -> Iterator[dict[str, Any]]:
    start = bucket.address.prefix + prefix
    pages = bucket.client.get_paginator("list_multipart_uploads")
    for page in pages.paginate(Bucket=bucket.address.bucket, Prefix=start):
        # what is not ours stays, also where the server takes the prefix for a hint
        yield from (one for one in page.get("Uploads", []) if one["Key"].startswith(start))
