"""Verify: is a portable artifact whole, and are its points those of the collection?"""

from __future__ import annotations

import shutil

from archon_dagster.errors import DamagedBackup
from archon_dagster.repository.manifest import Artifact
from archon_dagster.stores.base import Source, Verdict, Work
from archon_dagster.stores.vectors.portable.reading import DamagedPortable, digest, opened
from archon_dagster.stores.vectors.portable.restoring import differs, fetch


def verify(source: Source, artifact: Artifact, work: Work) -> Verdict:
    """Read the Parquet file whole, count its points and compare their digest."""
    if shutil.disk_usage(work.scratch).free < artifact.size:
        return Verdict(artifact.name, "not verifiable here", "the scratch directory is too small for it")
    file = work.scratch / "verify.parquet"
    try:
        fetch(source, artifact, file, work)
        part = digest(file, artifact.name, work.check, lambda _: None)
        with opened(file, artifact.name) as found:
            about = found.about
    except (DamagedPortable, DamagedBackup) as error:
        return Verdict(artifact.name, "damaged", error.what)
    finally:
        file.unlink(missing_ok=True)
    counts = {about.collection: part.count}
    if wrong := differs(artifact, about, part):
        return Verdict(artifact.name, "damaged", f"not what the manifest says: {wrong}", counts)
    return Verdict(artifact.name, "verified", f"{part.count} points read", counts)
