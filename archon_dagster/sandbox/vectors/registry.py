"""All collections of the server, their names and aliases."""

import json
import logging
import os
import random
import shutil
import threading
import uuid
from pathlib import Path

from archon_dagster.sandbox.vectors import collection as collections
from archon_dagster.sandbox.vectors import config as configuration
from archon_dagster.sandbox.vectors import files
from archon_dagster.sandbox.vectors.body import Json, mapping, required, sequence
from archon_dagster.sandbox.vectors.collection import Collection
from archon_dagster.sandbox.vectors.errors import (
    CannotStart,
    FormatError,
    InternalError,
    InvalidPath,
    NotFound,
    collection_exists,
    collection_not_found,
    from_os,
)

log = logging.getLogger(__name__)
PEER_ID_BITS = 53
LONGEST_NAME = 255  # characters, so it may still be too long to be the name of a directory
INVALID_IN_NAMES = '<>:"/\\|?*\0\x1f'


class Registry:
    """Collections by name; aliases stand for one."""

    def __init__(self, storage: Path, snapshots: Path, *, recovery_message: str | None = None):
        self.storage, self.snapshots = storage, snapshots
        self.temporary = storage / "tmp"
        self._lock = threading.RLock()
        shutil.rmtree(self.temporary, ignore_errors=True)
        for directory in (storage / "collections", storage / "aliases", self.temporary, snapshots):
            directory.mkdir(parents=True, exist_ok=True)
        self.peer = self._peer_id()
        self._aliases: dict[str, str] = self._read_aliases()
        self._collections = {path.name: self._open(path, recovery_message) for path in self._directories()}

    def _directories(self) -> list[Path]:
        return sorted(path for path in (self.storage / "collections").iterdir() if path.is_dir())

    def _open(self, path: Path, recovery_message: str | None) -> Collection:
        found = Collection(path, self.peer, recovery_message=recovery_message)
        if found.shard.problem:
            log.error('collection %s: %s, initializing "dummy" shard', found.name, found.shard.problem)
        return found

    def _peer_id(self) -> int:
        path = self.storage / "raft_state.json"
        if not path.exists():
            files.write_json(path, {"this_peer_id": random.SystemRandom().getrandbits(PEER_ID_BITS)})
        try:
            return int(json.loads(path.read_bytes())["this_peer_id"])
        except (ValueError, KeyError) as error:
            raise CannotStart(f"Failed to load consensus state at {path}: {error}") from error

    def _read_aliases(self) -> dict[str, str]:
        path = self.storage / "aliases" / "data.json"
        if not path.exists():
            return {}
        try:
            found: dict[str, str] = json.loads(path.read_bytes())
        except ValueError as error:
            raise CannotStart(f"Can't read alias data at {path}: {error}") from error
        return found

    def names(self) -> list[str]:
        with self._lock:
            return sorted(self._collections)

    def all(self) -> list[Collection]:
        with self._lock:
            return [self._collections[name] for name in sorted(self._collections)]

    def find(self, name: str) -> Collection | None:
        _check_length(name)
        with self._lock:
            return self._collections.get(self._aliases.get(name, name))

    def get(self, name: str) -> Collection:
        found = self.find(name)
        if found is None:
            raise collection_not_found(name)
        return found

    def resolved(self, name: str) -> str:
        """The collection behind a name, which may not exist yet."""
        with self._lock:
            return self._aliases.get(name, name)

    def create(self, name: str, config: Json) -> Collection:
        _check_new_name(name)
        with self._lock:
            if name in self._collections or name in self._aliases:
                raise collection_exists(name)
            prepared = self.temporary / f"new-{uuid.uuid4()}" / name
            try:
                collections.write_empty(prepared, config, self.peer)
            except OSError as error:  # a name that is short enough in characters may be too long in bytes
                told = f"Can't create directory for collection {name}. Error: {from_os(error).detail}"
                raise InternalError(told) from error
            target = self.storage / "collections" / name
            prepared.rename(target)
            self._collections[name] = Collection(target, self.peer)
            return self._collections[name]

    def delete(self, name: str) -> bool:
        """Remove a collection and its aliases; its snapshots stay, as in the real server."""
        _check_length(name)
        with self._lock:
            found = self._collections.pop(name, None)
            if found is None:
                return False
            self._save_aliases({alias: target for alias, target in self._aliases.items() if target != found.name})
            doomed = self.temporary / f"deleted-{uuid.uuid4()}"
            with found.shard.write_lock:
                found.shard.kill(f"Collection `{found.name}` was deleted")
                found.path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
        return True

    def create_from_request(self, name: str, body: Json, raw_length: int) -> None:
        self.create(name, configuration.from_request(body, raw_length))

    def aliases(self, collection: str | None = None) -> list[Json]:
        with self._lock:
            pairs = sorted(self._aliases.items())
        return [
            {"alias_name": alias, "collection_name": target}
            for alias, target in pairs
            if collection is None or target == collection
        ]

    def change_aliases(self, body: Json) -> None:
        """Apply all actions or none."""
        with self._lock:
            changed = dict(self._aliases)
            for given in sequence(required(body, "actions"), "actions"):
                self._apply(changed, mapping(given, "action"))
            self._save_aliases(changed)

    def _apply(self, aliases: dict[str, str], action: Json) -> None:
        match action:
            case {"create_alias": {"collection_name": str() as target, "alias_name": str() as alias}}:
                if target not in self._collections:
                    raise collection_not_found(target)
                if alias in self._collections:
                    raise collection_exists(alias)
                aliases[alias] = target
            case {"delete_alias": {"alias_name": str() as alias}}:
                aliases.pop(alias, None)
            case {"rename_alias": {"old_alias_name": str() as old, "new_alias_name": str() as new}}:
                if old not in aliases:
                    raise NotFound(f"Alias {old} does not exists!")
                aliases[new] = aliases.pop(old)
            case _:
                raise FormatError("data did not match any variant of untagged enum AliasOperations")

    def _save_aliases(self, aliases: dict[str, str]) -> None:
        if aliases != self._aliases:
            files.write_json(self.storage / "aliases" / "data.json", aliases)
            self._aliases = aliases

    def close(self) -> None:
        """Flush and release everything; what was acknowledged is safe with or without this."""
        for found in self.all():
            found.shard.close()


def _check_length(name: str) -> None:
    if not 0 < len(name) <= LONGEST_NAME:
        shown = json.dumps(name, ensure_ascii=False)
        raise InvalidPath(f"[name: value {shown} invalid, must be from 1 to {LONGEST_NAME} characters]")


def _check_new_name(name: str) -> None:
    """What the real server allows when a collection is created: any script, spaces, a dot in front."""
    _check_length(name)
    for character in INVALID_IN_NAMES:
        if character in name:
            raise InvalidPath(f'[name: collection name cannot contain "{character}" char]')
    if name in (".", ".."):
        raise InvalidPath('[name: collection name cannot be "." or ".."]')


def disk_usage(path: Path) -> int:
    """Bytes of the files below ``path``; files that vanish meanwhile count nothing."""
    total = 0
    for directory, _, names in os.walk(path):
        for name in names:
            try:
                total += (Path(directory) / name).stat().st_size
            except FileNotFoundError:
                continue
    return total
