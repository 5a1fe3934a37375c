"""A manifest as an object of the repository.

The JSON carries the SHA-256 of the manifest it holds, because a flipped bit in a count would otherwise go unnoticed:
``{"sha256": "…", "manifest": {…}}``, the digest being that of the bytes of the inner object as they stand.

Nothing in a manifest is believed before it was looked at: somebody who can write into the repository can also seal.
RepositoryError
 ├── DamagedBackup     it is not what was written, or says what no program of this kind writes
 └── NewerFormat       it is whole, and this program is too old for it
"""

from __future__ import annotations

import hashlib
import json

from pydantic import ValidationError

from archon_dagster.errors import DamagedBackup, RepositoryError
from archon_dagster.repository.backends.base import Backend, ObjectUnreadable
from archon_dagster.repository.chunk_format import LARGEST_PLAIN
from archon_dagster.repository.manifest import FORMAT_VERSION, Artifact, Manifest
from archon_dagster.repository.names import artifact_name_problem, manifest_key

_START, _MIDDLE, _END = b'{"sha256":"', b'","manifest":', b"}\n"
_BODY = len(_START) + 64 + len(_MIDDLE)

LARGEST = 64 << 20
"""Bytes of the largest manifest, some 750,000 chunks: a manifest takes twelve times its size in memory when read."""

_TODO = "restore from another backup, or put the file back from a copy of the repository"


class NewerFormat(RepositoryError):
    """The backup was written by a newer version of this program."""


def read(backend: Backend, backup_id: str) -> Manifest:
    """The manifest of a backup, proven; refused before it is read where it is larger than any manifest can be."""
    try:
        raw = backend.get(manifest_key(backup_id), limit=LARGEST).data
    except ObjectUnreadable as error:
        raise damaged(backup_id, f"cannot be read: {error.what}") from error
    return decode(backup_id, raw)


def encode(manifest: Manifest) -> bytes:
    """The object's bytes; an error where they are more than a reader would take."""
    body = manifest.model_dump_json().encode()
    if _BODY + len(body) + len(_END) > LARGEST:
        raise RepositoryError(
            f"backup {manifest.id} has too many pieces: its manifest of {len(body):,} bytes is larger than the "
            f"{LARGEST:,} bytes that can be read back",
            where=manifest_key(manifest.id),
            todo="back up one store at a time (`archon backup --only …`)",
        )
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
        manifest = Manifest.model_validate_json(body)
    except ValidationError as error:
        _require_known(backup_id, _format_of(body))
        raise damaged(backup_id, f"cannot be understood: {error.errors()[0]['msg']}") from error
    _require_known(backup_id, manifest.format)
    return manifest


def _require_known(backup_id: str, found: object) -> None:
    if isinstance(found, int) and found > FORMAT_VERSION:
        raise NewerFormat(
            f"backup {backup_id} has format {found}, this program reads up to {FORMAT_VERSION}",
            where=manifest_key(backup_id),
            todo="install a newer version of archon-dagster",
        )


def _format_of(body: bytes) -> object:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return fields.get("format") if isinstance(fields, dict) else None


def _checked(backup_id: str, manifest: Manifest) -> Manifest:
    if manifest.id != backup_id:
        raise damaged(backup_id, f"is that of another backup ({manifest.id})")
    names: set[str] = set()
    for artifact in manifest.artifacts:
        if problem := artifact_name_problem(artifact.name) or _problem(artifact, names):
            raise damaged(backup_id, f"names an artifact {artifact.name!r}: {problem}")
        names.add(artifact.name)
    return manifest


def _problem(artifact: Artifact, names: set[str]) -> str | None:
    """Why an artifact cannot be one that was written."""
    if artifact.name in names:
        return "there is another one of this name"
    if any(not 0 <= chunk.size <= LARGEST_PLAIN for chunk in artifact.chunks):
        return "one of its chunks has a size that no chunk can have"
    if sum(chunk.size for chunk in artifact.chunks) != artifact.size:
        return "its chunks do not add up to its size"
    return None
