"""What a snapshot does not hold: aliases, the server's version, and each collection's settings in readable form.

Stored as the artifact ``qdrant/collections``, one JSON document, the last one of the store.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from archon_dagster.errors import DamagedBackup
from archon_dagster.repository.manifest import Artifact
from archon_dagster.stores import naming
from archon_dagster.stores.base import Source
from archon_dagster.stores.vectors.state import Collection
from archon_dagster.stores.vectors.version import Version

NAME, KIND, SNAPSHOT_KIND = "qdrant/collections", "collection-configuration", "collection-snapshot"
_LIMIT = 64 << 20  # bytes; thousands of collections fit


class Described(BaseModel):
    """One collection as it was: for the reader, and to compare the restored one with."""

    model_config = ConfigDict(frozen=True)

    points: int
    config: dict[str, Any]
    payload_schema: dict[str, Any]
    artifact: str


class Configuration(BaseModel):
    """The document.

    ``everything``: the backup holds all collections the server had, so that a restore deletes any other.
    """

    model_config = ConfigDict(frozen=True)

    version: str
    everything: bool = True
    collections: dict[str, Described]
    aliases: dict[str, str]

    @property
    def server(self) -> Version:
        return Version.parse(self.version)


def artifact_name(collection: str, taken: Sequence[str] = ()) -> str:
    """The artifact of a collection's snapshot; a collection called ``collections`` must not hide the document."""
    return naming.artifact_name("qdrant", collection, {NAME, *taken})


def document(
    version: Version, collections: Mapping[str, Collection], names: Mapping[str, str], aliases: Mapping[str, str], *,
    everything: bool,
) -> bytes:  # fmt: skip
    """The document as bytes."""
    described = {
        name: Described(points=c.count, config=c.config, payload_schema=c.indexes, artifact=names[name])
        for name, c in collections.items()
    }
    whole = Configuration(version=str(version), everything=everything, collections=described, aliases=dict(aliases))
    return json.dumps(whole.model_dump(), indent=1, sort_keys=True, ensure_ascii=False).encode()


def load(source: Source) -> tuple[Configuration, dict[str, Artifact]]:
    """The document of a backup, and the snapshot artifact of each collection in it.

    :raises DamagedBackup: it is missing or not readable, or a snapshot it names is missing.
    """
    artifacts = {artifact.name: artifact for artifact in source.artifacts("vectors")}
    if NAME not in artifacts:
        raise _damaged(source, f"artifact {NAME} is missing")
    with source.open(artifacts[NAME]) as reader:
        data = read_all(reader.read)
    try:
        found = Configuration.model_validate_json(data)
        _ = found.server
    except (ValidationError, ValueError) as error:
        raise _damaged(source, f"artifact {NAME} is not readable: {type(error).__name__}") from error
    missing = [c.artifact for c in found.collections.values() if c.artifact not in artifacts]
    if missing:
        raise _damaged(source, f"artifacts are missing: {', '.join(missing)}")
    return found, {name: artifacts[c.artifact] for name, c in found.collections.items()}


def read_all(read: Any) -> bytes:
    """A whole small stream, bounded."""
    data = bytearray()
    while piece := read(1 << 20):
        data += piece
        if len(data) > _LIMIT:
            break
    return bytes(data)


def _damaged(source: Source, what: str) -> DamagedBackup:
    return DamagedBackup(
        f"{what}; nothing was touched", where=f"backup {source.backup_id}, vectors", todo="use another backup"
    )
