"""Every refusal of an S3 server becomes a sentence that says what, where and what to do."""

from __future__ import annotations

import pytest
from botocore import exceptions as boto

from archon_dagster.errors import RepositoryError
from archon_dagster.repository.backends.base import ObjectUnreadable
from archon_dagster.repository.backends.s3.errors import TooSlow, explained


def refusal(code: str, status: int, said: str = "", retries: int = 0) -> boto.ClientError:
    metadata = {"HTTPStatusCode": status, "RequestId": "R1", "RetryAttempts": retries}
    error = {"Code": code, "Message": said, "StringToSign": "hunter2"}
    return boto.ClientError({"Error": error, "ResponseMetadata": metadata}, "PutObject")


@pytest.mark.parametrize(
    ("error", "words", "todo"),
    [
        (refusal("NoSuchBucket", 404), "no such bucket", "make the bucket"),
        (refusal("AccessDenied", 403), "access was denied", "docs/repository.md"),
        (refusal("403", 403), "access was denied", "docs/repository.md"),
        (refusal("InvalidAccessKeyId", 403), "key is not known", "ARCHON_S3_KEY"),
        (refusal("SignatureDoesNotMatch", 403), "secret key is wrong", "ARCHON_S3_SECRET"),
        (refusal("ExpiredToken", 400), "credentials have expired", "log in again"),
        (refusal("RequestTimeTooSkewed", 403), "clocks", "NTP"),
        (refusal("PermanentRedirect", 301), "another region", "ARCHON_S3_REGION"),
        (refusal("SlowDown", 503), "overloaded", "ARCHON_S3_CONNECTIONS"),
        (refusal("InternalError", 500), "error of its own", "log"),
        (refusal("Whatever", 500), "error of its own", "log"),
        (refusal("KMS.DisabledException", 400), "encryption key", "KMS"),
        (refusal("AccessDenied", 403, "Access Denied because object protected by object lock"), "object lock", "wait"),
        (refusal("XMinioStorageFull", 507), "no space is left", "free space"),
        (refusal("BadDigest", 400), "arrived damaged", "run this again"),
        (refusal("NotImplemented", 501), "does not know this operation", "docs/repository.md"),
        (refusal("Surprise", 418, "I am a teapot"), "I am a teapot", "server"),
        (boto.EndpointConnectionError(endpoint_url="http://x"), "cannot be reached", "ARCHON_S3_ENDPOINT"),
        (boto.ConnectTimeoutError(endpoint_url="http://x"), "does not answer", "ARCHON_S3_ENDPOINT"),
        (boto.ReadTimeoutError(endpoint_url="http://x"), "stopped answering", "ARCHON_S3_ENDPOINT"),
        (boto.SSLError(endpoint_url="http://x", error="e"), "encrypted connection", "ARCHON_S3_CA_BUNDLE"),
        (boto.NoCredentialsError(), "no credentials", "ARCHON_S3_KEY"),
        (boto.ProfileNotFound(profile="p"), "no such profile", "ARCHON_S3_PROFILE"),
        (boto.UnauthorizedSSOTokenError(), "expired", "log in again"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_refusal_is_explained(error: Exception, words: str, todo: str) -> None:
    with pytest.raises(RepositoryError, match=words) as caught, explained("write", "s3://bucket/x"):
        raise error
    assert caught.value.where == "s3://bucket/x"
    assert caught.value.todo is not None and todo in caught.value.todo
    assert caught.value.tried
    assert caught.value.__cause__ is error
    assert "hunter2" not in str(caught.value)


def test_the_attempts_are_counted() -> None:
    with pytest.raises(RepositoryError, match="5 times, the server's request id is R1"), explained("write", "x"):
        raise refusal("SlowDown", 503, retries=4)


def test_an_archived_object_is_the_trouble_of_this_object() -> None:
    with pytest.raises(ObjectUnreadable, match="moved to an archive"), explained("read", "x"):
        raise refusal("InvalidObjectState", 403)


def test_our_own_error_from_within_boto_comes_out_as_it_went_in() -> None:
    with pytest.raises(TooSlow, match="too slow"), explained("write", "x"):
        raise boto.HTTPClientError(error=TooSlow("too slow"))
