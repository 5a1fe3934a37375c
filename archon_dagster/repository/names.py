"""Names that come from outside, and the keys made of them.

Artifact names become paths when a backup is exported, so a name that could leave its directory is refused when it is
written *and* when it is read: a manifest may have been tampered with.
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime, timedelta

from archon_dagster.errors import RepositoryError

BACKUP_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")
_CHECK_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_LONGEST_SEGMENT = 200  # bytes; leaves room for an extension below the usual 255


def new_backup_id(now: datetime, after: str | None = None) -> str:
    """A UTC instant and a short random suffix, e.g. ``20261124T030000Z-7f3a``.

    :param after: the newest backup there is. Ids sort in the order in which backups were made, so where the clock shows
        no later second than that one's (it was set back, or is fast enough), the instant is the second after it.
    """
    instant = now.astimezone(UTC).replace(microsecond=0)
    if after is not None and instant_of(after) >= instant:
        instant = instant_of(after) + timedelta(seconds=1)
    return f"{instant:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def instant_of(backup_id: str) -> datetime:
    """The instant in an id; 1970 where its digits are no date."""
    try:
        return datetime.strptime(backup_id[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)


def is_backup_id(text: str) -> bool:
    """Whether the text has the form of a backup id."""
    return BACKUP_ID.fullmatch(text) is not None


def manifest_key(backup_id: str) -> str:
    return f"backups/{backup_id}.json"


def marker_key(backup_id: str) -> str:
    return f"backups/{backup_id}.incomplete"


def chunk_key(sha256: str) -> str:
    return f"chunks/{sha256[:2]}/{sha256}"


def checked_artifact_name(name: str) -> str:
    """The name itself, if it is safe as a relative path; :class:`RepositoryError` otherwise."""
    if problem := artifact_name_problem(name):
        raise RepositoryError(f"an artifact cannot be named {name!r}: {problem}", todo="report this as a bug")
    return name


def artifact_name_problem(name: str) -> str | None:
    """Why an artifact name is not acceptable, or ``None``."""
    if not name or name.startswith("/") or name.endswith("/"):
        return "it is empty or starts or ends with a slash"
    if any(ord(character) < 32 or ord(character) == 127 or character == "\\" for character in name):
        return "it holds control characters or a backslash"
    for segment in name.split("/"):
        if segment in ("", ".", ".."):
            return "a part of it is empty, '.' or '..'"
        if len(segment.encode(errors="surrogatepass")) > _LONGEST_SEGMENT:
            return f"a part of it is longer than {_LONGEST_SEGMENT} bytes"
    return None


def checked_check_name(name: str) -> str:
    """The name of a check, if it can be part of a key."""
    if not _CHECK_NAME.fullmatch(name):
        raise RepositoryError(f"a check cannot be named {name!r}", todo="use lower-case letters, digits, '-', '_', '.'")
    return name
