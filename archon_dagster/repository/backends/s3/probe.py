"""Can this endpoint write under a condition, and whose time does it tell?

Some servers do not know ``If-None-Match`` and ``If-Match`` on a write, and some of those ignore them silently, which
would give one lock to two holders. So both are tried once, on an object of our own, before they are relied on. The
same object shows whether the ``Date`` of an answer and the time given to objects come from one clock.

What cannot be found out by trying is whether the server looks at the condition and writes in *one* step. Those known
to take two are named here: of 8 writers that swap at once VersityGW 1.8 lets two pass, one time in eight.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from archon_dagster.repository.backends.heeding import undisturbed
from archon_dagster.repository.backends.s3.bucket import Bucket
from archon_dagster.repository.backends.s3.errors import explained, status_of

_log = logging.getLogger(__name__)
_NOBODY_S = '"00000000000000000000000000000000"'  # an etag that no object has
_ONE_CLOCK = timedelta(seconds=2)  # both times have whole seconds
_TWO_STEPS = ("versitygw",)  # how these servers begin what they say in the header Server
_REFUSED, _UNKNOWN = (404, 409, 412), (400, 405, 501)


@dataclass(frozen=True, slots=True)
class Abilities:
    """What an endpoint can do.

    :param create_only: it refuses ``If-None-Match: *`` where the object is there.
    :param swap: it refuses ``If-Match`` where the object is another, and only there.
    :param one_step: nobody can write between the comparison and the write of a swap.
    :param ahead: how far the time given to objects is ahead of the ``Date`` of answers.
    """

    create_only: bool
    swap: bool
    one_step: bool = True
    ahead: timedelta = timedelta()


_known: dict[tuple[str, str], Abilities] = {}
_probing = threading.Lock()


def abilities(bucket: Bucket) -> Abilities:
    """What the endpoint can do: found out once in each process, with a warning where something is missing."""
    place = (bucket.settings.endpoint or "", bucket.address.bucket)
    with _probing:
        if place not in _known:
            with explained("try conditional writes in", bucket.describe()):
                found = _probe(bucket)
            _warn(bucket, found)
            _known[place] = found
        return _known[place]


def date_of(answer: dict[str, Any]) -> datetime | None:
    """The server's time in an answer or a refusal."""
    text = _header(answer, "date")
    return parsedate_to_datetime(text).astimezone(UTC) if text else None


def _header(answer: dict[str, Any], name: str) -> str:
    return str(answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get(name, ""))


def _probe(bucket: Bucket) -> Abilities:
    name = bucket.own(f"probe-{uuid.uuid4().hex}")
    put, body = bucket.client.put_object, b"may be deleted"
    written = put(**name, Body=body)
    try:
        create_only = _refuses(lambda: put(**name, Body=body, IfNoneMatch="*"))
        swap = _refuses(lambda: put(**name, Body=body, IfMatch=_NOBODY_S)) and not _refuses(
            lambda: put(**name, Body=body, IfMatch=written["ETag"])
        )
        one_step = not _header(written, "server").lower().startswith(_TWO_STEPS)
        return Abilities(create_only, swap, one_step, _ahead(bucket, name))
    finally:
        _remove(bucket, name)


def _refuses(write: Callable[[], object]) -> bool:
    """Whether the server looked at the condition and found it not met."""
    try:
        write()
    except ClientError as error:
        if status_of(error) not in (*_REFUSED, *_UNKNOWN):
            raise
        return status_of(error) in _REFUSED
    return False


def _ahead(bucket: Bucket, name: dict[str, str]) -> timedelta:
    """Write and look at once: the object's time and the answer's should be the same moment."""
    written = date_of(bucket.client.put_object(**name, Body=b"may be deleted"))
    modified = bucket.client.head_object(**name)["LastModified"].astimezone(UTC)
    if written is None or abs(modified - written) <= _ONE_CLOCK:
        return timedelta()
    found: timedelta = modified - written
    return found


def _remove(bucket: Bucket, name: dict[str, str]) -> None:
    try:
        with undisturbed():
            bucket.client.delete_object(**name)
    except (ClientError, BotoCoreError) as error:
        _log.warning("%s cannot be deleted from %s: %s", name["Key"], bucket.describe(), error)


def _warn(bucket: Bucket, found: Abilities) -> None:
    ways = (("create-only (If-None-Match)", found.create_only), ("swap (If-Match)", found.swap))
    lacking = " and ".join(name for name, there in ways if not there)
    if lacking:
        why = f"has no conditional writes: {lacking}"
    elif not found.one_step:
        why = "compares and writes in two steps"
    else:
        return
    _log.warning(
        "%s %s. The lock is then kept by writing, waiting and looking again, which two hosts can defeat by starting "
        "at the same moment: let one host only write to this repository (docs/repository.md)",
        bucket.describe(),
        why,
    )
