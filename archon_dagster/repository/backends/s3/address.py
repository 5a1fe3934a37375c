"""``s3://bucket/prefix``, taken apart. Nothing secret belongs in it, and nothing of a wrong one is repeated."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from archon_dagster.errors import ConfigurationError

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_SEGMENT = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9_.=+@ -]{1,200}")
_LONGEST_PREFIX = 400  # bytes; S3 allows 1024 for prefix and key together


@dataclass(frozen=True, slots=True)
class Address:
    """A bucket and where in it the repository is.

    :param prefix: empty, or ending with a slash.
    """

    bucket: str
    prefix: str = ""

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


def parse_address(url: str) -> Address:
    """The parts of an ``s3://`` address; :class:`ConfigurationError` says what is wrong with it."""
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise _wrong("it holds more than a bucket and a prefix (keys belong in ARCHON_S3_KEY and ARCHON_S3_SECRET)")
    if not _BUCKET.fullmatch(parts.netloc):
        raise _wrong(f"{parts.netloc!r} is not the name of a bucket")
    segments = [unquote(segment) for segment in parts.path.split("/") if segment]
    prefix = "".join(f"{segment}/" for segment in segments)
    if not all(map(_SEGMENT.fullmatch, segments)) or len(prefix) > _LONGEST_PREFIX:
        raise _wrong("use letters, digits and . _ - = + @ in the prefix, at most 400 in all")
    return Address(parts.netloc, prefix)


def _wrong(why: str) -> ConfigurationError:
    return ConfigurationError(
        f"the address of the S3 repository is not usable: {why}",
        where="ARCHON_REPOSITORY",
        todo="write it as s3://bucket/prefix; the endpoint goes into ARCHON_S3_ENDPOINT",
    )
