"""A manifest as an object of the repository.

The JSON carries the SHA-256 of the manifest it holds, because a flipped bit in a count would otherwise go unnoticed:
``{"sha256": "…", "manifest": {…}}``, the digest being that of the bytes of the inner object as they stand.
"""

from __future__ import annotations

import hashlib
import json

from pydantic import ValidationError

from archon_dagster.errors import DamagedBackup, RepositoryError
from archon_dagster.repository.manifest import FORMAT_VERSION, Manifest
from archon_dagster.repository.names import artifact_name_problem, manifest_key

_START, _MIDDLE, _END = b'{"sha256":"', b'","manifest":', b"}\n"
_BODY = len(_START) + 64 + len(_MIDDLE)

_TODO = "restore from another backup, or put the file back from a copy of the repository"


def encode(manifest: Manifest) -> bytes:
    """The object's bytes."""
    body = manifest.model_dump_json().encode()
    return b"".join((_START, hashlib.sha256(body).hexdigest().encode(), _MIDDLE, body, _END))


def decode(backup_id: str, raw: bytes) -> Manifest:
    """The manifest in an object's bytes; :class:`DamagedBackup` where a byte of it is not as it was written."""
    body = raw[_BODY : -len(_END)]
    written = raw[len(_START) : len(_START) + 64]
    whole = raw.startswith(_START) and raw.endswith(_END) and raw[len(_START) + 64 : _BODY] == _MIDDLE
    if not whole:
        raise damaged(backup_id, "is truncated or is no manifest")
    if hashlib.sha256(body).hexdigest().encode() != written:
        raise damaged(backup_id, "has other content than was written")
    return _checked(backup_id, _parse(backup_id, body))


def damaged(backup_id: str, what: str) -> DamagedBackup:
    """The error for a manifest that cannot be trusted."""
    return DamagedBackup(f"the manifest of backup {backup_id} {what}", where=manifest_key(backup_id), todo=_TODO)


def _parse(backup_id: str, body: bytes) -> Manifest:
    try:
        return Manifest.model_validate_json(body)
    except ValidationError as error:
        found = _format_of(body)
        if isinstance(found, int) and found > FORMAT_VERSION:
            raise RepositoryError(
                f"backup {backup_id} has format {found}, this program reads up to {FORMAT_VERSION}",
                where=manifest_key(backup_id),
                todo="install a newer version of archon-dagster",
            ) from error
        raise damaged(backup_id, f"cannot be understood: {error.errors()[0]['msg']}") from error


def _format_of(body: bytes) -> object:
    try:
        fields = json.loads(body)
    except ValueError:
        return None
    return fields.get("format") if isinstance(fields, dict) else None


def _checked(backup_id: str, manifest: Manifest) -> Manifest:
    if manifest.id != backup_id:
        raise damaged(backup_id, f"is that of another backup ({manifest.id})")
    for artifact in manifest.artifacts:
        if problem := artifact_name_problem(artifact.name):
            raise damaged(backup_id, f"names an artifact {artifact.name!r}: {problem}")
        if sum(chunk.size for chunk in artifact.chunks) != artifact.size:
            raise damaged(backup_id, f"lists chunks of {artifact.name} that do not add up to its size")
    return manifest
