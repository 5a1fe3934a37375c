"""A portable artifact is fetched, read whole and tried on before anything on the server is touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from archon_dagster.errors import DamagedBackup, StoreError
from archon_dagster.repository.manifest import Artifact, Part
from archon_dagster.stores.base import Source, Work
from archon_dagster.stores.vectors.client import Client
from archon_dagster.stores.vectors.fingerprint import PointDigest
from archon_dagster.stores.vectors.portable import creating
from archon_dagster.stores.vectors.portable.bodies import not_finite
from archon_dagster.stores.vectors.portable.layout import About
from archon_dagster.stores.vectors.portable.loading import PortableCandidate
from archon_dagster.stores.vectors.portable.reading import DamagedPortable, damaged, opened, reported, rows_of

PIECE = 1 << 20


def prepare(
    client: Client, source: Source, work: Work, collection: str, artifact: Artifact, number: int, cleanup: float
) -> PortableCandidate:
    """Everything that can be known beforehand.

    :raises DamagedBackup: the artifact is not what was written, or not what the manifest says.
    :raises VersionMismatch: this server cannot hold such points.
    """
    file = work.scratch / f"restore-{number}.parquet"
    fetch(source, artifact, file, work)
    try:
        about, points = examine(file, artifact, work.check)
    except DamagedPortable as error:
        raise DamagedBackup(
            f"{artifact.name}: {error.what}; nothing was touched",
            where=f"backup {source.backup_id}",
            todo="restore another backup (archon backups)",
        ) from error
    return PortableCandidate(collection, file, about, points, creating.plan(client, about, cleanup))


def examine(file: Path, artifact: Artifact, check: Callable[[], None]) -> tuple[About, Part]:
    """Read every point; what the file is about, and their digest.

    :raises StoreError: a point cannot be sent at all.
    """
    found = PointDigest()
    with opened(file, artifact.name) as opened_file:
        about = opened_file.about
        for group in opened_file.groups(check):
            with reported(artifact.name, f"row group {group.number}"):
                unsound = not_finite(group.table, about)
                for point_id, vectors, payload in rows_of(group.table, about):
                    found.add(point_id, vectors, payload)
            if unsound:
                raise _unsendable(artifact, unsound)
    part = found.part()
    if wrong := differs(artifact, about, part):
        raise damaged(artifact.name, f"it is not what the manifest says: {wrong}")
    return about, part


def differs(artifact: Artifact, about: About, part: Part) -> str:
    """What is not as the manifest says."""
    expected = artifact.fingerprint.parts.get(f"{about.collection}/points") if artifact.fingerprint else None
    if expected is None:
        return f"it is of collection {about.collection}"
    if expected.count != part.count:
        return f"{expected.count} points expected, {part.count} found"
    return "" if expected.digest == part.digest else f"{part.count} points, but not the same ones"


def fetch(source: Source, artifact: Artifact, file: Path, work: Work) -> None:
    """Copy an artifact into scratch; Parquet is read from its end, a backup from its beginning."""
    try:
        with file.open("wb") as target, source.open(artifact) as reader:
            while piece := reader.read(PIECE):
                work.check()
                target.write(piece)
    except OSError as error:
        raise StoreError(
            f"{artifact.name} cannot be copied to scratch: {error}", where=str(file), todo="free space there"
        ) from error


def _unsendable(artifact: Artifact, ids: list[int | str]) -> StoreError:
    return StoreError(
        f"{artifact.name}: point {ids[0]} has NaN or infinity in a vector, which cannot be sent to a server as JSON; "
        "nothing was touched",
        where=artifact.name,
        tried=f"{len(ids)} such point(s) in one row group",
        todo="restore the snapshot instead, on a server of the version the backup was made on",
    )
