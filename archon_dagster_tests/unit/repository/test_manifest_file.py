"""A manifest is believed only after it was looked at, and never read into more memory than any manifest needs."""

from __future__ import annotations

import hashlib
import tracemalloc
import zlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard

from archon_dagster.errors import DamagedBackup, RepositoryError
from archon_dagster.repository import manifest_file
from archon_dagster.repository.chunk_format import HEADER, ZSTD
from archon_dagster.repository.manifest import Manifest
from archon_dagster.repository.manifest_file import NewerFormat
from archon_dagster.repository.repository import Repository
from archon_dagster.stores.base import Work
from archon_dagster_tests.unit.repository.conftest import NOON, Clock, back_up


def replace_manifest(root: Path, manifest: Manifest) -> None:
    """Somebody who can write into the repository, and knows how to seal."""
    (root / "backups" / f"{manifest.id}.json").write_bytes(manifest_file.encode(manifest))


def with_artifact(manifest: Manifest, **changes: Any) -> Manifest:
    return manifest.model_copy(update={"artifacts": (manifest.artifacts[0].model_copy(update=changes),)})


def chunks_of_size(*sizes: int) -> Callable[[Manifest], Manifest]:
    def change(manifest: Manifest) -> Manifest:
        (chunk,) = manifest.artifacts[0].chunks
        chunks = tuple(chunk.model_copy(update={"size": size}) for size in sizes)
        return with_artifact(manifest, chunks=chunks, size=sum(sizes))

    return change


def twice(manifest: Manifest) -> Manifest:
    return manifest.model_copy(update={"artifacts": manifest.artifacts * 2})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (chunks_of_size(64 << 20, -(64 << 20)), "size that no chunk can have"),
        (chunks_of_size((64 << 20) + 1), "size that no chunk can have"),
        (chunks_of_size(-1), "size that no chunk can have"),
        (lambda manifest: with_artifact(manifest, size=5), "do not add up"),
        (lambda manifest: with_artifact(manifest, name="../../evil"), r"'\.\.'"),
        (lambda manifest: with_artifact(manifest, name="/etc/passwd"), "slash"),
        (twice, "another one of this name"),
        (lambda manifest: manifest.model_copy(update={"id": "20261124T000000Z-0000"}), "another backup"),
    ],
)
def test_what_no_backup_can_say_is_damage(
    repository: Repository, root: Path, change: Callable[[Manifest], Manifest], words: str
) -> None:
    backup = back_up(repository, {"a": b"x"})
    (root / "backups" / f"{backup.id}.json").write_bytes(manifest_file.encode(change(backup)))
    with pytest.raises(DamagedBackup, match=rf"{backup.id}.*{words}"):
        repository.resolve(backup.id)
    assert [entry.state for entry in Repository.open(str(root)).backups()] == ["damaged"]


def test_a_newer_format_is_told_from_damage_although_every_field_is_known(repository: Repository, root: Path) -> None:
    backup = back_up(repository, {"a": b"x"})
    replace_manifest(root, backup.model_copy(update={"format": 2}))
    with pytest.raises(NewerFormat, match="format 2, this program reads up to 1") as caught:
        repository.resolve(backup.id)
    assert "newer version" in str(caught.value)


@pytest.mark.parametrize("megabytes", [100, 4000])
def test_a_manifest_that_is_too_large_is_refused_before_it_is_read(
    repository: Repository, root: Path, work: Work, megabytes: int
) -> None:
    clock = Clock()
    good = back_up(repository, {"a": b"x"}, clock=clock)
    huge = back_up(repository, {"a": b"x"}, clock=clock)
    with (root / "backups" / f"{huge.id}.json").open("r+b") as file:
        file.truncate(megabytes * 1_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(DamagedBackup, match=rf"{huge.id} cannot be read: .* {megabytes}000000 bytes"):
            repository.resolve(huge.id)
        states = [(entry.id, entry.state) for entry in Repository.open(str(root)).backups()]
        assert "cannot be read" in repository.verify(huge.id, work).summary()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert states == [(huge.id, "damaged"), (good.id, "complete")]
    assert repository.resolve("latest") == good
    assert peak < 8 << 20


def test_the_largest_manifest_that_is_written_can_be_read(
    repository: Repository, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = back_up(repository, {"a": b"x"})
    size = len(manifest_file.encode(backup))
    monkeypatch.setattr(manifest_file, "LARGEST", size)
    assert repository.resolve(backup.id) == backup
    monkeypatch.setattr(manifest_file, "LARGEST", size - 1)
    with pytest.raises(RepositoryError, match="too many pieces"):
        manifest_file.encode(backup)


def test_a_backup_with_too_many_pieces_is_refused_before_it_exists(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest_file, "LARGEST", 300)
    with pytest.raises(RepositoryError, match="--only"):
        back_up(repository, {"a": b"x"}, clock=Clock(NOON + timedelta(hours=1)))
    assert repository.backups() == []


def test_a_manifest_nested_without_end_is_damage(repository: Repository, root: Path) -> None:
    backup = back_up(repository, {"a": b"x"})
    body = b'{"format":' + b"[" * 200_000
    framed = b'{"sha256":"' + hashlib.sha256(body).hexdigest().encode() + b'","manifest":' + body + b"}\n"
    (root / "backups" / f"{backup.id}.json").write_bytes(framed)
    with pytest.raises(DamagedBackup, match="cannot be understood"):
        repository.resolve(backup.id)


def test_a_chunk_far_larger_than_it_should_be_is_refused_before_it_is_read(
    repository: Repository, root: Path, work: Work, tmp_path: Path
) -> None:
    backup = back_up(repository, {"a": b"x" * 100})
    sha256 = backup.artifacts[0].chunks[0].sha256
    with (root / "chunks" / sha256[:2] / sha256).open("r+b") as file:
        file.truncate(120_000_000)
    tracemalloc.start()
    try:
        found = repository.verify(backup.id, work)
        with pytest.raises(DamagedBackup, match="120000000 bytes"):
            repository.export(backup, tmp_path / "out")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "120000000 bytes" in found.summary()
    assert peak < 16 << 20


def test_a_decompression_bomb_neither_unfolds_nor_is_exported(
    repository: Repository, root: Path, work: Work, tmp_path: Path
) -> None:
    backup = back_up(repository, {"a": b"x" * 100_000})
    sha256 = backup.artifacts[0].chunks[0].sha256
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 30))
    stored = HEADER.pack(ZSTD, 4 + len(bomb)) + zlib.crc32(bomb).to_bytes(4) + bomb
    (root / "chunks" / sha256[:2] / sha256).write_bytes(stored)
    tracemalloc.start()
    try:
        summary = repository.verify(backup.id, work).summary()
        with pytest.raises(DamagedBackup, match="claims to hold"):
            repository.export(backup, tmp_path / "out")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "claims to hold 1073741824 bytes" in summary
    assert peak < 16 << 20
    assert not (tmp_path / "out").exists()
