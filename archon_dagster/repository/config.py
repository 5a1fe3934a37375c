"""``config.json``: what a repository is, fixed when it is created.

Chunk boundaries decide whether two backups share their chunks, so the cutters' parameters belong to the repository
and not to the program's version.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from archon_dagster.errors import RepositoryError
from archon_dagster.repository.backends.base import Backend, ObjectExists

REPOSITORY_FORMAT = 1
CONFIG_KEY = "config.json"

KiB, MiB = 1 << 10, 1 << 20


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Chunker(_Model):
    """Sizes in bytes of the pieces artifacts are cut into."""

    minimum: int = Field(default=256 * KiB, ge=64)
    average: int = Field(default=1 * MiB, ge=64)
    maximum: int = Field(default=4 * MiB, ge=64, le=64 * MiB)
    tar_piece: int = Field(default=1 * MiB, ge=512)
    tar_piece_in_place: int = Field(default=256 * KiB, ge=512)
    tar_small_member: int = Field(default=16 * KiB, ge=0)


class RepositoryConfig(_Model):
    """The content of ``config.json``."""

    format: int = REPOSITORY_FORMAT
    id: str = Field(default_factory=lambda: uuid.uuid4().hex)
    chunker: Chunker = Chunker()
    key_slots: tuple[dict[str, Any], ...] = ()


def create_config(backend: Backend, config: RepositoryConfig) -> RepositoryConfig:
    """Write the configuration unless somebody else just did; returns the one that counts."""
    try:
        backend.put(CONFIG_KEY, config.model_dump_json(indent=2).encode(), if_absent=True)
    except ObjectExists:
        return load_config(backend)
    backend.barrier()
    return config


def load_config(backend: Backend) -> RepositoryConfig:
    """Read the configuration; :class:`ObjectNotFound` where there is none, an error where it cannot be understood."""
    raw = backend.get(CONFIG_KEY, limit=MiB).data
    try:
        fields = json.loads(raw)
        found = fields["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(backend, str(error)) from error
    if found != REPOSITORY_FORMAT:
        raise RepositoryError(
            f"the repository has format {found}, this program reads format {REPOSITORY_FORMAT}",
            where=backend.describe(),
            todo="install the version of archon-dagster that wrote it, or a newer one",
        )
    try:
        config = RepositoryConfig.model_validate(fields)
    except ValidationError as error:
        raise _damaged(backend, str(error)) from error
    if config.key_slots:
        raise RepositoryError(
            "the repository is encrypted, and this version cannot decrypt",
            where=backend.describe(),
            todo="install a version of archon-dagster with encryption",
        )
    return config


def has_config(backend: Backend) -> bool:
    """Whether there is a repository here."""
    return backend.exists(CONFIG_KEY) is not None


def _damaged(backend: Backend, why: str) -> RepositoryError:
    return RepositoryError(
        f"{CONFIG_KEY} of the repository is damaged: {why}",
        where=backend.describe(),
        todo=f"put {CONFIG_KEY} back from a copy of the repository; the backups can be read without it by extract.py",
    )
