"""Whether the vectors of a backup go onto a server as snapshots or point by point, which takes longer."""

from __future__ import annotations

from archon_dagster.context import OperationContext
from archon_dagster.repository.manifest import Manifest
from archon_dagster.stores.vectors.portable.layout import KIND
from archon_dagster.stores.vectors.version import Version


def by_points(manifest: Manifest, version: str, *, asked: bool = False) -> bool:
    """Whether the portable copies are taken.

    :param version: what the live server says of itself, as :attr:`Description.version`.
    """
    if not any(artifact.kind == KIND for artifact in manifest.of_store("vectors")):
        return False
    return asked or not snapshots_load(manifest, version)


def snapshots_load(manifest: Manifest, version: str) -> bool:
    """Whether a server of this version is documented to load the snapshots; also where nobody can tell."""
    try:
        return Version.parse(version).loads(Version.parse(manifest.versions["vectors"]))
    except (KeyError, ValueError):
        return True


def goes_by_points(context: OperationContext, manifest: Manifest, *, asked: bool) -> bool:
    """The same, asking the live server where that matters."""
    if not by_points(manifest, "", asked=True):
        return False
    return asked or by_points(manifest, context.stores["vectors"].describe().version)
