"""What of a backup's vectors belongs to one collection.

Its aliases come back with it, unless they stand for another collection by now: that one is not asked for, so it keeps
them. Under a new name it gets none.
"""

from __future__ import annotations

from archon_dagster.errors import BackupNotFound, StoreError
from archon_dagster.repository.manifest import Artifact
from archon_dagster.stores.base import Source, Work
from archon_dagster.stores.vectors.client import Client
from archon_dagster.stores.vectors.configuration import Configuration


def one_of(
    client: Client, source: Source, work: Work, whole: tuple[Configuration, dict[str, Artifact]], collection: str,
    new_name: str = "",
) -> tuple[Configuration, dict[str, Artifact]]:  # fmt: skip
    """The document and the snapshot of one collection.

    :raises BackupNotFound: the backup does not have it.
    :raises StoreError: the name it is to have is that of an alias.
    """
    backup, artifacts = whole
    if collection not in artifacts:
        raise BackupNotFound(
            f"backup {source.backup_id} has no collection {collection}",
            where=f"backup {source.backup_id}",
            tried=f"it has {', '.join(artifacts) or 'none'}",
            todo="name one of these, or another backup (archon backups)",
        )
    live = client.aliases()
    refuse_alias(client, live, new_name or collection)
    return (
        backup.model_copy(
            update={
                "everything": False,
                "collections": {collection: backup.collections[collection]},
                "aliases": {} if new_name else _aliases(backup, collection, live, work),
            }
        ),
        {collection: artifacts[collection]},
    )


def refuse_alias(client: Client, live: dict[str, str], name: str) -> None:
    """An upload to an alias would replace the collection behind it."""
    if name in live:
        raise StoreError(
            f"{name} is an alias there, it stands for the collection {live[name]}; nothing was touched",
            where=client.address,
            todo="restore the collection as another name (--as)",
        )


def _aliases(backup: Configuration, collection: str, live: dict[str, str], work: Work) -> dict[str, str]:
    wanted = [alias for alias, behind in backup.aliases.items() if behind == collection]
    kept = [alias for alias in wanted if live.get(alias, collection) == collection]
    for alias in wanted:
        if alias not in kept:
            work.warn(f"alias {alias} stays with {live[alias]}; when the backup was made it stood for {collection}")
    return dict.fromkeys(kept, collection)
