"""The manifest: what one backup holds, where its bytes are, and what they mean.

It is the last thing written and is created only if absent, so its existence means that the backup is complete.
Unknown fields are refused: a repository of a newer format must not be half understood.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

FORMAT_VERSION = 1

Hex256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
BackupKind = Literal["scheduled", "manual", "safety", "imported"]
"""Why a backup exists: by a schedule, on request, before a restore, or made by another tool and read in.

The last two say nothing about the platform as it should be, so ``latest`` never means one of them.
"""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Part(_Model):
    """Digest of one part of a store (a collection's points, a label's nodes, a table's rows).

    ``digest`` is the sum modulo 2^256 of the SHA-256 of every record's canonical form, as hex: it does not depend
    on the order of the records, and it counts duplicates. ``sample_*`` is the same over the records whose key hash
    starts with a byte below :data:`SAMPLE_BELOW`, so that a live store too large to be read whole can be compared
    on the same records.

    A digest of zeros with a count above zero says that the records were counted but could not be read (no record set
    sums up to it): such a part is compared by its count alone.
    """

    count: int
    digest: Hex256
    sample_count: int | None = None
    sample_digest: Hex256 | None = None

    @classmethod
    def unread(cls, count: int) -> Part:
        """A part of which only the count is known."""
        return cls(count=count, digest="0" * 64)

    @property
    def content_known(self) -> bool:
        return self.count == 0 or self.digest != "0" * 64


SAMPLE_BELOW = 4  # of 256: one record in 64


class Fingerprint(_Model):
    """Order-independent digest of a store's content.

    :param scope: ``full``: every record was read. ``sample``: counts are exact, digests cover the sample only
        (``digest`` then repeats ``sample_digest``).
    :param parts: by part name, e.g. ``archon_vectors/points``, ``archon_vectors/schema``, ``nodes/File``.
    """

    scope: Literal["full", "sample"] = "full"
    parts: dict[str, Part]

    @property
    def digest(self) -> str:
        """One hex digest over all parts, short enough to read out on the phone when cut to 12 digits."""
        lines = "".join(f"{name}\0{part.count}\0{part.digest}\n" for name, part in sorted(self.parts.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    def differences(self, other: Fingerprint) -> list[str]:
        """What differs between this (expected) and the other (found), readable; empty means identical.

        Where one side is a sample, the sampled records and the exact counts are compared.
        """
        found: list[str] = []
        sampled = "sample" in (self.scope, other.scope)
        for name in sorted(self.parts.keys() | other.parts.keys()):
            mine, theirs = self.parts.get(name), other.parts.get(name)
            if mine is None or theirs is None:
                found.append(f"{name}: {'not expected' if mine is None else 'missing'}")
            elif mine.count != theirs.count:
                found.append(f"{name}: {mine.count} expected, {theirs.count} found")
            elif not (mine.content_known and theirs.content_known):
                continue
            elif _comparable(mine, sampled) != _comparable(theirs, sampled):
                found.append(f"{name}: same count ({mine.count}), different content")
        return found


def _comparable(part: Part, sampled: bool) -> str:
    if sampled and part.sample_digest is not None:
        return part.sample_digest
    return part.digest


class Chunk(_Model):
    """A piece of an artifact: the SHA-256 of its plain bytes, which is also its name, and its plain length."""

    sha256: Hex256
    size: int


class Artifact(_Model):
    """One file of a backup, e.g. a collection's snapshot or the graph export."""

    store: Literal["vectors", "graph", "relational", "configuration"]
    name: str
    kind: str
    media_type: str
    size: int
    sha256: Hex256
    chunks: tuple[Chunk, ...]
    counts: dict[str, int] = {}
    fingerprint: Fingerprint | None = None
    details: dict[str, Any] = {}
    capture_start: datetime
    capture_end: datetime


class Window(_Model):
    """Between which instants the stores were captured, and whether the writers held still meanwhile."""

    start: datetime
    end: datetime
    paused: tuple[str, ...] = ()
    consistent: bool
    note: str = ""


class Manifest(_Model):
    """Everything known about one backup. Times are UTC; sizes are bytes; durations are seconds."""

    format: int = FORMAT_VERSION
    id: Annotated[str, Field(pattern=r"^\d{8}T\d{6}Z-[0-9a-f]{4}$")]
    kind: BackupKind
    created: datetime
    duration: float
    stores: tuple[str, ...]
    artifacts: tuple[Artifact, ...]
    window: Window
    versions: dict[str, str]
    image_digests: dict[str, str] = {}
    git_revision: str | None = None
    tool_version: str
    parent: str | None = None
    host: str
    bytes_read: int
    bytes_added: int
    chunks_added: int
    not_covered: tuple[str, ...] = ()
    note: str = ""

    def of_store(self, store: str) -> tuple[Artifact, ...]:
        """The artifacts of one store, in the order they were written."""
        return tuple(artifact for artifact in self.artifacts if artifact.store == store)

    def fingerprint(self, store: str) -> Fingerprint | None:
        """What a store must look like once this backup is restored; ``None`` where no artifact could tell."""
        parts: dict[str, Part] = {}
        scope: Literal["full", "sample"] = "full"
        for artifact in self.of_store(store):
            if artifact.fingerprint is not None:
                parts |= artifact.fingerprint.parts
                scope = "sample" if artifact.fingerprint.scope == "sample" else scope
        return Fingerprint(scope=scope, parts=parts) if parts else None
