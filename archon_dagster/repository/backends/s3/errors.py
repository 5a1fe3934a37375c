"""What the answers and silences of an S3 server mean to an operator.

Only an error's code and the server's sentence are shown: the rest of an answer may hold signed requests.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from archon_dagster.errors import ConfigurationError, RepositoryError
from archon_dagster.repository.backends.base import ObjectUnreadable

Meaning = tuple[str, str]

_ASK = "see docs/repository.md for the permissions a repository needs"
_CREDENTIALS = "check ARCHON_S3_KEY and ARCHON_S3_SECRET (or the profile or role); were they changed or withdrawn?"
_EXPIRED = "log in again or renew the session token; a role (ARCHON_S3_ROLE_ARN) renews itself"
_REGION = "set ARCHON_S3_REGION to the bucket's region (and ARCHON_S3_ENDPOINT to its endpoint, where there is one)"
_SPACE = "free space or raise the quota on the server; no backup was harmed"
_OVERLOAD = "wait, then run this again; a lower ARCHON_S3_CONNECTIONS asks less of the server"
_REACH = "check ARCHON_S3_ENDPOINT, the network and that the server is up"
_WIRE = "run this again; if it stays, look for a proxy or a broken network card in between"

_NO_BUCKET: Meaning = ("there is no such bucket", "make the bucket, or correct the name in ARCHON_REPOSITORY")
_DENIED: Meaning = ("access was denied", _ASK)
_WRONG_SECRET: Meaning = ("the secret key is wrong", _CREDENTIALS)
_UNKNOWN_KEY: Meaning = ("the access key is not known to the server", _CREDENTIALS)
_WRONG_REGION: Meaning = ("the bucket is in another region, or the endpoint is not its", _REGION)
_BUSY: Meaning = ("the server is overloaded", _OVERLOAD)
_FAULT: Meaning = ("the server had an error of its own", "see the server's log, or the provider's status page")
_LOCKED: Meaning = (
    "object lock or a retention rule forbids it",
    "wait until the retention ends, or lift it; nothing was changed",
)
_FULL: Meaning = ("no space is left on the server", _SPACE)
_DAMAGED: Meaning = ("the bytes arrived damaged at the server", _WIRE)
_KMS: Meaning = ("the encryption key of the bucket cannot be used", "enable the KMS key and let this user use it")
_ARCHIVED: Meaning = (
    "it was moved to an archive",
    "bring the objects back to the standard storage class; a lifecycle rule must not archive a repository",
)
_LACKING: Meaning = ("the server does not know this operation", "use a server that does; see docs/repository.md")
_EXPIRED_TOKEN: Meaning = ("the credentials have expired", _EXPIRED)
_CLOCK: Meaning = ("the clocks of this host and of the server differ too much", "set this host's clock (NTP)")

_CODES: dict[str, Meaning] = {
    **dict.fromkeys(("NoSuchBucket", "InvalidBucketName"), _NO_BUCKET),
    **dict.fromkeys(("AccessDenied", "AllAccessDisabled", "AccountProblem", "403", "Forbidden"), _DENIED),
    **dict.fromkeys(("InvalidAccessKeyId", "XAdminUserNotFound"), _UNKNOWN_KEY),
    **dict.fromkeys(("SignatureDoesNotMatch", "AuthFailure"), _WRONG_SECRET),
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired"), _EXPIRED_TOKEN),
    **dict.fromkeys(("RequestTimeTooSkewed", "RequestExpired"), _CLOCK),
    **dict.fromkeys(
        ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"),
        _WRONG_REGION,
    ),
    **dict.fromkeys(("SlowDown", "SlowDownRead", "SlowDownWrite", "503", "ServiceUnavailable", "Throttling"), _BUSY),
    **dict.fromkeys(("InternalError", "500", "502", "504"), _FAULT),
    **dict.fromkeys(("ObjectLocked", "InvalidRetentionPeriod", "ObjectLockConfigurationNotFoundError"), _LOCKED),
    **dict.fromkeys(("QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "507"), _FULL),
    **dict.fromkeys(
        ("BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"), _DAMAGED
    ),
    "InvalidObjectState": _ARCHIVED,
    **dict.fromkeys(("NotImplemented", "501", "MethodNotAllowed"), _LACKING),
}

_CLASSES: tuple[tuple[type[BotoCoreError], Meaning], ...] = (
    (
        boto.SSLError,
        ("the encrypted connection failed", "check the certificate, or name its CA in ARCHON_S3_CA_BUNDLE"),
    ),
    (boto.ProxyConnectionError, ("the proxy could not be reached", "check HTTPS_PROXY and NO_PROXY")),
    (boto.ConnectTimeoutError, ("the server does not answer", _REACH)),
    (boto.EndpointConnectionError, ("the server cannot be reached", _REACH)),
    (boto.ReadTimeoutError, ("the server stopped answering", _REACH)),
    (boto.ConnectionClosedError, ("the server closed the connection", _REACH)),
    (boto.FlexibleChecksumError, ("the bytes arrived damaged here", _WIRE)),
    (boto.NoCredentialsError, ("there are no credentials", "set ARCHON_S3_KEY and ARCHON_S3_SECRET, or a profile")),
    (boto.PartialCredentialsError, ("the credentials are incomplete", _CREDENTIALS)),
    (boto.ProfileNotFound, ("there is no such profile", "correct ARCHON_S3_PROFILE, or make the profile")),
    (boto.SSOError, _EXPIRED_TOKEN),
    (boto.TokenRetrievalError, _EXPIRED_TOKEN),
    (boto.CredentialRetrievalError, ("no credentials could be had", _CREDENTIALS)),
    (boto.HTTPClientError, ("the connection broke", _REACH)),
)


class TooSlow(RepositoryError):
    """Bytes come or go, but so slowly that it is no use."""


@contextlib.contextmanager
def explained(action: str, where: str) -> Iterator[None]:
    """Turn what boto3 raises into a :class:`RepositoryError` that says what, where and what to do."""
    try:
        yield
    except (ClientError, BotoCoreError, HTTPError) as error:
        raise explanation(error, action, where) from error


def explanation(error: Exception, action: str, where: str) -> RepositoryError | ConfigurationError:
    """The operator's view of an error of boto3."""
    cause = error.kwargs.get("error") if isinstance(error, BotoCoreError) else None
    if isinstance(cause, RepositoryError):
        return cause  # ours, raised while boto3 was reading from us
    what = f"could not {action} the repository"
    if isinstance(error, ClientError):
        kind, (meaning, todo) = _of_answer(error)
        said = error.response.get("Error", {}).get("Message") or ""
        detail = f" ({code_of(error)}: {said})" if said else f" ({code_of(error)})"
        return kind(f"{what}: {meaning}{detail}", where=where, tried=_attempts(error), todo=todo)
    meaning, todo = _of_class(error)
    return RepositoryError(f"{what}: {meaning}", where=where, tried=str(error)[:300], todo=todo)


def code_of(error: Exception) -> str:
    """The code of a refusal; empty for anything else. Answers without a body have their status as the code."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def status_of(error: ClientError) -> int:
    """The HTTP status of a refusal."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def was_repeated(error: ClientError) -> bool:
    """Whether the request was sent more than once, so that an earlier one may have succeeded unheard."""
    return bool(_metadata(error).get("RetryAttempts"))


def is_missing(error: ClientError) -> bool:
    """Whether the object is not there (a missing bucket is another thing)."""
    return status_of(error) == 404 and code_of(error) in ("NoSuchKey", "404", "NotFound")


def _of_answer(error: ClientError) -> tuple[type[RepositoryError], Meaning]:
    code, said = code_of(error), str(error.response.get("Error", {}).get("Message", "")).lower()
    if code.startswith("KMS."):
        return RepositoryError, _KMS
    if code == "InvalidObjectState":
        return ObjectUnreadable, _ARCHIVED
    if any(word in said for word in ("object lock", "worm", "retention", "object protected")):
        return RepositoryError, _LOCKED
    known = _CODES.get(code) or _CODES.get(str(status_of(error)))
    return RepositoryError, known or ("the server refused", "see what the server says; its log may tell more")


def _of_class(error: Exception) -> Meaning:
    for kind, meaning in _CLASSES:
        if isinstance(error, kind):
            return meaning
    return "the connection broke", _REACH


def _attempts(error: ClientError) -> str:
    attempts = int(_metadata(error).get("RetryAttempts", 0)) + 1
    request = _metadata(error).get("RequestId")
    times = "once" if attempts == 1 else f"{attempts} times"
    return f"{times}, the server's request id is {request}" if request else times


def _metadata(error: ClientError) -> dict[str, Any]:
    found: dict[str, Any] = error.response.get("ResponseMetadata", {})
    return found
