"""Verify: is every snapshot of a backup whole, readable by Qdrant's engine, and what the manifest says?"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from archon_dagster.errors import DamagedBackup, StoreError
from archon_dagster.repository.manifest import Artifact, Fingerprint
from archon_dagster.stores.base import Source, Verdict, Work
from archon_dagster.stores.vectors import configuration, engine, fingerprint
from archon_dagster.stores.vectors.configuration import NAME
from archon_dagster.stores.vectors.portable import verifying
from archon_dagster.stores.vectors.portable.choosing import portable_artifacts
from archon_dagster.stores.vectors.snapshot import PIECE, Contents, DamagedSnapshot, SnapshotScanner
from archon_dagster.stores.vectors.version import Version


def verify(source: Source, work: Work, only: str | None = None) -> Iterator[Verdict]:
    """One verdict for each artifact of the store, or of one collection."""
    try:
        found, artifacts = configuration.load(source)
    except DamagedBackup as error:
        yield Verdict(NAME, "damaged", error.what)
        return
    for collection, artifact in artifacts.items():
        if only in (None, collection):
            yield _snapshot(source, work, collection, artifact, found.server)
    for collection, artifact in portable_artifacts(source).items():
        if only in (None, collection):
            yield verifying.verify(source, artifact, work)
    yield Verdict(NAME, "verified", f"{len(artifacts)} collections, {len(found.aliases)} aliases")


def _snapshot(source: Source, work: Work, collection: str, artifact: Artifact, version: Version) -> Verdict:
    file = work.scratch / "verify.snapshot"
    if shutil.disk_usage(work.scratch).free < artifact.size + engine.unpacked_size(artifact.size):
        file = Path()  # too little room to unpack it: the tar is still checked
    try:
        contents = fetch(source, artifact, file if file.name else None, work)
        if not file.name:
            raise engine.NotVerifiableHere("the scratch directory is too small to unpack it")
        reading = engine.read(file, contents, version, work.scratch, check=work.check)
    except (DamagedSnapshot, DamagedBackup) as error:
        return Verdict(artifact.name, "damaged", error.what)
    except engine.NotVerifiableHere as error:
        return Verdict(artifact.name, "not verifiable here", f"complete as a file; {error}")
    finally:
        if file.name:
            file.unlink(missing_ok=True)
    return _judge(collection, artifact, contents, reading)


def _judge(collection: str, artifact: Artifact, contents: Contents, reading: engine.Reading) -> Verdict:
    counts = {collection: reading.count}
    if wrong := differences(collection, artifact, contents, reading):
        return Verdict(artifact.name, "damaged", f"not what the manifest says: {wrong}", counts)
    return Verdict(artifact.name, "verified", f"{reading.count} points read by Qdrant's engine", counts)


def differences(collection: str, artifact: Artifact, contents: Contents, reading: engine.Reading | None) -> str:
    """What is not as the manifest says, readable; empty where all is. Without a reading only the schema is compared."""
    if artifact.fingerprint is None:
        return ""
    expected = artifact.fingerprint
    parts = {f"{collection}/schema": fingerprint.schema_part(contents.config, contents.indexes)}
    points = f"{collection}/points"
    if reading is not None:
        parts[points] = reading.points
    elif points in expected.parts:
        parts[points] = expected.parts[points]
    return "; ".join(expected.differences(Fingerprint(parts=parts)))


def fetch(source: Source, artifact: Artifact, file: Path | None, work: Work) -> Contents:
    """Stream an artifact through the completeness check, into ``file`` where one is given.

    :raises DamagedBackup: bytes are not as written. :raises DamagedSnapshot: what was written is no whole snapshot.
    """
    scanner = SnapshotScanner(artifact.name)
    target = file.open("wb") if file is not None else None
    try:
        with source.open(artifact) as reader:
            while piece := reader.read(PIECE):
                work.check()
                scanner.feed(piece)
                if target is not None:
                    target.write(piece)
    except OSError as error:
        raise StoreError(
            f"{artifact.name} cannot be copied to scratch: {error}", where=str(file), todo="free space there"
        ) from error
    finally:
        if target is not None:
            target.close()
    return scanner.close()
