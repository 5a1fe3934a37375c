"""Restore a collection from a snapshot, and fail where the real server fails.

Until the shard is replaced nothing is touched: an archive that cannot be read, a broken configuration, a missing log
or other vectors leave the live data alone. From there on the old data are gone: a segment that cannot be loaded
leaves a *dirty* shard, which answers 500 until a good snapshot is uploaded or the collection is deleted.
"""

import hashlib
import json
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from archon_dagster.sandbox.vectors import collection as collections
from archon_dagster.sandbox.vectors import config as configuration
from archon_dagster.sandbox.vectors import packing, shard, tarball
from archon_dagster.sandbox.vectors.body import Json
from archon_dagster.sandbox.vectors.collection import SHARD, Collection
from archon_dagster.sandbox.vectors.errors import BadRequest, ChecksumMismatch, InternalError, WrongInput
from archon_dagster.sandbox.vectors.registry import Registry

log = logging.getLogger(__name__)
PRIORITIES = ("no_sync", "snapshot", "replica")
DOWNLOAD_TIMEOUT = 300.0
READ_SIZE = 1 << 20


def recover(registry: Registry, name: str, archive: Path) -> None:
    """Replace the collection called ``name``, or create it, by what a snapshot holds."""
    resolved = registry.resolved(name)
    prefix = f"col-{resolved}-recovery-"
    with tempfile.TemporaryDirectory(dir=registry.temporary, prefix=prefix) as scratch:
        unpacked = Path(scratch) / "snapshot"
        try:
            packing.unpack(archive, unpacked)
        except tarball.Malformed as error:
            raise InternalError(f"File IO error: {error}") from error
        config = _config(unpacked)
        target = registry.find(resolved)
        if target is not None:
            _check_compatible(target.config, config)
        _check_shard(unpacked / SHARD)
        schema = _json(unpacked / "payload_index.json", {}).get("schema", {})
        _replace(target or registry.create(resolved, config), unpacked / SHARD, schema)


def _config(unpacked: Path) -> Json:
    config: Json = _json(unpacked / "config.json", None)
    try:
        configuration.for_engine(config)
        configuration.sparse(config)
    except Exception as error:
        raise InternalError(f"Failed to load collection config: {error}") from error
    return config


def _json(path: Path, default: Any) -> Any:
    if default is not None and not path.exists():
        return default
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InternalError(f"Json error: {path.name}: {error}") from error


def _check_compatible(existing: Json, snapshot: Json) -> None:
    if existing["params"]["vectors"] != snapshot["params"]["vectors"]:
        found = f"Collection vectors: {configuration.described(existing)}"
        raise WrongInput(
            f"Snapshot is not compatible with existing collection: {found} "
            f"Snapshot Vectors: {configuration.described(snapshot)}"
        )
    theirs, ours = snapshot["params"].get("shard_number"), existing["params"]["shard_number"]
    if theirs != ours:
        raise WrongInput(f"Snapshot is not compatible with existing collection: shard number {theirs}, here {ours}")


def _check_shard(unpacked: Path) -> None:
    kind = _json(unpacked / "shard_config.json", None)
    state = _json(unpacked / "replica_state.json", None)
    if not isinstance(kind, dict) or kind.get("type") != "ReplicaSet":
        raise InternalError(f"Failed to load shard config: {kind}")
    if not isinstance(state, dict) or not {"is_local", "this_peer_id", "peers"} <= state.keys():
        raise InternalError("Failed to load replica state")
    if not (unpacked / "wal").is_dir():
        raise BadRequest("Snapshot has no write-ahead log: expected Some(ManualRecovery), got None")


def _replace(target: Collection, unpacked: Path, schema: Json) -> None:
    flag = target.path / collections.INITIALIZING

    def swap() -> None:
        flag.touch()
        shutil.rmtree(target.path / SHARD, ignore_errors=True)
        unpacked.rename(target.path / SHARD)

    target.shard.replace(swap)
    problem = target.shard.problem
    if problem is not None:
        _leave_dirty(target)
        raise InternalError(f"Failed to restore shard {target.name}:0: {problem}")
    target.set_schema(schema)
    target.operation_id = target.last_operation()
    flag.unlink()


def _leave_dirty(target: Collection) -> None:
    log.error("shard %s:0 could not be restored: %s", target.name, target.shard.problem)
    shutil.rmtree(target.path / SHARD, ignore_errors=True)
    target.shard.problem = shard.DIRTY


def check_priority(given: object) -> None:
    if given is not None and given not in PRIORITIES:
        raise BadRequest(f"unknown variant `{given}`, expected one of `no_sync`, `snapshot`, `replica`")


def check_digest(archive: Path, expected: str | None) -> None:
    """:raises ChecksumMismatch: with the two values in the places where the real server has them."""
    if not expected:
        return
    digest = hashlib.sha256()
    with archive.open("rb") as file:
        while piece := file.read(READ_SIZE):
            digest.update(piece)
    if digest.hexdigest() != expected.lower():
        raise ChecksumMismatch(f"expected {digest.hexdigest()}, actual {expected}")


def recover_from(registry: Registry, name: str, body: Json) -> None:
    """``PUT …/snapshots/recover``: from a file of this machine or a URL."""
    location = str(body["location"])
    parts = urlsplit(location)
    with tempfile.TemporaryDirectory(dir=registry.temporary, prefix="download-") as scratch:
        if parts.scheme == "file":
            archive = Path(unquote(parts.path))
            if not archive.is_file():
                raise BadRequest(f'Snapshot file "{archive}" does not exist')
        elif parts.scheme in ("http", "https"):
            archive = Path(scratch) / "download.snapshot"
            _download(location, archive, body.get("api_key"))
        else:
            raise BadRequest(f"URL {location} with scheme {parts.scheme} is not supported")
        check_digest(archive, body.get("checksum"))
        recover(registry, name, archive)


def _download(url: str, target: Path, api_key: str | None) -> None:
    headers = {"api-key": api_key} if api_key else {}
    try:
        with httpx.stream("GET", url, headers=headers, timeout=DOWNLOAD_TIMEOUT, trust_env=False) as answer:
            if answer.status_code != httpx.codes.OK:
                status = f"{answer.status_code} {answer.reason_phrase}"
                raise BadRequest(f"Failed to download snapshot from {url}: status - {status}")
            with target.open("wb") as file:
                for piece in answer.iter_bytes(READ_SIZE):
                    file.write(piece)
    except httpx.HTTPError as error:
        raise BadRequest(f"Failed to download snapshot from {url}: {error}") from error
