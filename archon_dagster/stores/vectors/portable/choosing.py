"""Which collections are restored point by point: those whose snapshots this server must not be given.

Decided before a byte is sent, from the version recorded in the backup and the one the server tells.
"""

from __future__ import annotations

from collections.abc import Mapping

from archon_dagster.errors import VersionMismatch
from archon_dagster.repository.manifest import Artifact
from archon_dagster.stores.base import Source
from archon_dagster.stores.vectors.client import Client
from archon_dagster.stores.vectors.portable.layout import KIND
from archon_dagster.stores.vectors.version import Version


def portable_artifacts(source: Source) -> dict[str, Artifact]:
    """The portable artifacts of a backup by collection."""
    return {
        str(artifact.details.get("collection")): artifact
        for artifact in source.artifacts("vectors")
        if artifact.kind == KIND
    }


def routed(
    client: Client, source: Source, made_on: Version, snapshots: Mapping[str, Artifact], *, asked: bool, trial: bool
) -> dict[str, Artifact]:
    """The artifact to restore each collection from: its snapshot, or its portable one.

    :param asked: an operator wants the portable ones.
    :param trial: a trial load under a scratch name may decide about snapshots that do not go by the rule.
    :raises VersionMismatch: the rule forbids a snapshot, and there is nothing else.
    """
    allowed = client.version.loads(made_on)
    if (allowed or trial) and not asked:
        return dict(snapshots)
    portable = portable_artifacts(source)
    if not (missing := [name for name in snapshots if name not in portable]):
        return {name: portable[name] for name in snapshots}
    if allowed:
        raise VersionMismatch(
            f"the backup has no portable copy of {', '.join(missing)}",
            where=f"backup {source.backup_id}",
            todo="restore its snapshots: this server takes them",
        )
    raise _forbidden(client, made_on, missing if portable else [])


def _forbidden(client: Client, made_on: Version, missing: list[str]) -> VersionMismatch:
    major, minor = made_on.line
    lacking = f"of {', '.join(missing)}" if missing else "of the vectors"
    return VersionMismatch(
        f"the backup was made on Qdrant {made_on}, this server is {client.version}: a snapshot loads on the same or "
        "the next minor version only, and trying destroys the collection",
        where=client.address,
        tried=f"nothing was sent; the backup has no portable copy {lacking}, which any version takes",
        todo=f"take a backup with portable copies on Qdrant {made_on} and restore that; or run Qdrant {major}.{minor} "
        f"or {major}.{minor + 1}, restore there, then upgrade one minor version at a time; or let a trial load under "
        "a scratch name decide (trial_load)",
    )
