"""``s3://bucket/prefix`` is understood or refused, and nothing secret in a wrong one is repeated."""

from __future__ import annotations

import pytest

from archon_dagster.errors import ConfigurationError
from archon_dagster.repository.backends.opening import open_backend
from archon_dagster.repository.backends.s3.address import Address, parse_address


@pytest.mark.parametrize(
    ("url", "bucket", "prefix"),
    [
        ("s3://bucket", "bucket", ""),
        ("s3://bucket/", "bucket", ""),
        ("s3://my.bucket-1/a/b", "my.bucket-1", "a/b/"),
        ("s3://bucket//a//b/", "bucket", "a/b/"),
        ("s3://bucket/a%20b", "bucket", "a b/"),
    ],
)
def test_a_bucket_and_a_prefix_are_found(url: str, bucket: str, prefix: str) -> None:
    assert parse_address(url) == Address(bucket, prefix)


@pytest.mark.parametrize(
    "url",
    ["s3://", "s3:///a", "s3://UPPER/a", "s3://a", "s3://bucket/../other", "s3://bucket/a/./b", "s3://bucket/%00",
     "s3://bucket/a%2f..%2fb", "s3://bucket/" + "x/" * 300],
)  # fmt: skip
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="s3://bucket/prefix"):
        parse_address(url)


@pytest.mark.parametrize("url", ["s3://key:hunter2@bucket/a", "s3://bucket/a?secret=hunter2", "s3://bucket/a#hunter2"])
def test_credentials_in_the_address_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError, match="ARCHON_S3_SECRET") as caught:
        open_backend(url)
    assert "hunter2" not in str(caught.value)
