"""Verification finds and names all damage."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from archon_dagster.errors import BackupNotFound, Cancelled, DamagedBackup
from archon_dagster.repository.repository import Repository
from archon_dagster.stores.base import Work
from archon_dagster_tests.unit.repository.conftest import Clock, back_up, chunk_path, read_back

CONTENTS = {
    "qdrant/archon_vectors": random.Random(0).randbytes(9_000_000),
    "memgraph/graph": b'{"label": "File", "path": "src/main.py"}\n' * 3000,
}


def test_an_intact_backup_passes_and_the_result_is_kept(repository: Repository, work: Work) -> None:
    manifest = back_up(repository, CONTENTS)
    result = repository.verify(manifest.id, work)
    assert (result.passed, result.artifacts, result.chunks) == (True, 2, 4)
    assert [(check.name, check.passed) for check in repository.checks(manifest.id)] == [("digests", True)]


def test_every_flipped_bit_is_found_and_named(repository: Repository, root: Path, work: Work) -> None:
    manifest = back_up(repository, CONTENTS)
    source = random.Random(2)
    for artifact in manifest.artifacts:
        for chunk in artifact.chunks:
            path = chunk_path(root, chunk.sha256)
            intact = path.read_bytes()
            for position in (0, 4, 5, source.randrange(len(intact)), len(intact) - 1):
                damaged = bytearray(intact)
                damaged[position] ^= 1 << source.randrange(8)
                path.write_bytes(damaged)
                result = repository.verify(manifest.id, work, record=False)
                assert [(found.artifact, found.chunk) for found in result.damage] == [(artifact.name, chunk.sha256)]
                with pytest.raises(DamagedBackup, match=f"(?s){manifest.id}.*{artifact.name}.*{chunk.sha256[:12]}"):
                    result.raise_for_damage()
            path.write_bytes(intact)
    assert repository.verify(manifest.id, work).passed


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "truncated"),
        (lambda path: path.write_bytes(b""), "truncated"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), "too long"),
        (lambda path: (path.unlink(), path.mkdir()), "not a file"),
    ],
    ids=["missing", "truncated", "emptied", "extended", "directory"],
)
def test_a_spoiled_chunk_stops_a_restore_with_its_name(
    repository: Repository, root: Path, work: Work, spoil: Callable[[Path], object], words: str
) -> None:
    manifest = back_up(repository, CONTENTS)
    chunk = manifest.artifacts[0].chunks[1]
    spoil(chunk_path(root, chunk.sha256))
    with pytest.raises(DamagedBackup, match=f"{manifest.id}.*archon_vectors.*{chunk.sha256[:12]}.*{words}"):
        read_back(repository, manifest)
    assert words in repository.verify(manifest.id, work).summary()


def test_all_damage_is_listed_not_only_the_first(repository: Repository, root: Path, work: Work) -> None:
    manifest = back_up(repository, CONTENTS)
    chunks = [chunk.sha256 for artifact in manifest.artifacts for chunk in artifact.chunks]
    for sha256 in chunks:
        chunk_path(root, sha256).unlink()
    result = repository.verify(manifest.id, work)
    assert [found.chunk for found in result.damage] == chunks
    assert not repository.checks(manifest.id)[0].passed
    with pytest.raises(BackupNotFound, match="failed check digests"):
        repository.resolve("latest")


def test_chunks_in_the_wrong_order_are_found_although_each_is_right(repository: Repository) -> None:
    manifest = back_up(repository, CONTENTS)
    artifact = manifest.artifacts[0]
    swapped = artifact.model_copy(update={"chunks": artifact.chunks[::-1]})
    with (
        pytest.raises(DamagedBackup, match="although every chunk is right"),
        repository.source(manifest).open(swapped) as stream,
    ):
        stream.read(artifact.size)  # not a byte beyond the last is asked for


def test_a_damaged_manifest_is_damage(repository: Repository, root: Path, work: Work) -> None:
    manifest = back_up(repository, CONTENTS)
    path = root / "backups" / f"{manifest.id}.json"
    path.write_bytes(path.read_bytes()[:-30])
    assert "manifest" in repository.verify(manifest.id, work).summary()


def test_an_unknown_backup_is_not_found(repository: Repository, work: Work) -> None:
    with pytest.raises(BackupNotFound):
        repository.verify("20261124T120000Z-0000", work)


def test_verification_can_be_cancelled(repository: Repository, work: Work) -> None:
    manifest = back_up(repository, CONTENTS)
    work.cancel.set()
    with pytest.raises(Cancelled):
        repository.verify(manifest.id, work)
    assert repository.checks(manifest.id) == []


def test_a_damaged_chunk_speaks_against_every_backup_that_has_it(
    repository: Repository, root: Path, work: Work
) -> None:
    clock = Clock()
    other = back_up(repository, {"b": b"other"}, clock=clock)
    first, second = (back_up(repository, {"a": b"shared", **more}, clock=clock) for more in ({}, {"c": b"more"}))
    chunk = first.artifacts[0].chunks[0].sha256
    chunk_path(root, chunk).write_bytes(b"garbage")
    assert repository.verify(other.id, work).passed
    assert not repository.verify(first.id, work).passed
    states = {entry.id: entry.checks for entry in repository.backups(checks=True)}
    assert str(states[first.id]) == str(states[second.id]) == "failed check digests"
    assert str(states[other.id]) == "every check passed"
    (told,) = repository.checks(second.id)
    assert told.detail == f"chunk {chunk[:12]}, which it shares with backup {first.id}, is damaged"
    assert repository.resolve("latest").id == other.id


def test_what_was_repaired_is_good_again_once_it_is_verified(repository: Repository, root: Path, work: Work) -> None:
    clock = Clock()
    first, second = (back_up(repository, {"a": b"shared"}, clock=clock) for _ in range(2))
    chunk_path(root, first.artifacts[0].chunks[0].sha256).unlink()
    assert not repository.verify(second.id, work, record=False).passed
    assert [check.passed for check in repository.checks(first.id)] == [False]
    back_up(repository, {"a": b"shared"}, clock=clock)  # writes the bytes anew
    assert repository.verify(first.id, work).passed
    states = {entry.id: entry.checks for entry in repository.backups(checks=True)}
    assert str(states[first.id]) == "every check passed"
