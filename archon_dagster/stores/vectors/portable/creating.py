"""Making a collection on a server that may be older or newer than the one the configuration comes from.

What this server makes of the configuration is found out on an empty collection under a scratch name, before anything
is touched: what it refuses is left out, what it silently ignores shows in what it says of the collection afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from archon_dagster.errors import StoreError, VersionMismatch
from archon_dagster.repository.manifest import Part
from archon_dagster.stores.vectors import fingerprint, leftovers
from archon_dagster.stores.vectors.client import Client
from archon_dagster.stores.vectors.portable.layout import About
from archon_dagster.stores.vectors.transport import Refused

_PARAMS = (
    "vectors", "sparse_vectors", "shard_number", "sharding_method", "replication_factor", "write_consistency_factor",
    "on_disk_payload",
)  # fmt: skip
_SECTIONS = {
    "hnsw_config": "hnsw_config", "optimizer_config": "optimizers_config", "wal_config": "wal_config",
    "quantization_config": "quantization_config", "metadata": "metadata",
}  # fmt: skip
_OPTIONAL = (
    "wal_config", "optimizers_config", "quantization_config", "hnsw_config", "metadata", "sharding_method",
    "replication_factor", "write_consistency_factor",
)  # fmt: skip
_ESSENTIAL = ("size", "distance", "multivector_config")  # without these the points do not fit, or mean something else


@dataclass(frozen=True)
class Plan:
    """How this server makes the collection.

    :param body: of the request that creates it.
    :param indexes: payload field -> index parameters it takes.
    :param schema: the digest of what it will then say of itself.
    :param notes: what is not as it was, readable.
    """

    body: dict[str, Any]
    indexes: dict[str, Any]
    schema: Part
    notes: tuple[str, ...]


def plan(client: Client, about: About, cleanup: float) -> Plan:
    """Try the configuration on an empty collection.

    :raises VersionMismatch: this server cannot hold such points.
    """
    with _empty(client, about, cleanup) as (name, body, dropped):
        indexes, notes = _index(client, name, about)
        info = client.info(name)
        found = fingerprint.schema(info["config"], info.get("payload_schema") or {})
        wanted = fingerprint.schema(about.config, about.indexes)
        _require_vectors(client, about, wanted, found)
        part = fingerprint.schema_part(info["config"], info.get("payload_schema") or {})
    for field in notes:
        wanted["indexes"].pop(field, None)
        found.get("indexes", {}).pop(field, None)
    lines = [*dropped, *notes.values(), *_differences(wanted, found)]
    return Plan(body, indexes, part, tuple(f"{about.collection}: {line}" for line in lines))


def request(config: Mapping[str, Any]) -> dict[str, Any]:
    """The body that creates a collection of this configuration; strict mode follows when the points are in."""
    params = config.get("params") or {}
    body = {key: params[key] for key in _PARAMS if params.get(key) is not None}
    body |= {wanted: _filled(config[key]) for key, wanted in _SECTIONS.items() if config.get(key)}
    body.setdefault("vectors", {})
    return body


def index_request(index: Any) -> Any:
    """The parameters of an index as a server takes them, whichever way they were told."""
    if isinstance(index, Mapping) and "data_type" in index:
        return index.get("params") or str(index["data_type"]).lower()
    return index


@contextmanager
def _empty(client: Client, about: About, cleanup: float) -> Iterator[tuple[str, dict[str, Any], list[str]]]:
    """An empty collection under a scratch name; its request, and what had to be left out of it."""
    name, left = leftovers.trial_name(about.collection), ""
    try:
        body, dropped = _create(client, name, request(about.config))
        yield name, body, dropped
    except Refused as error:
        raise VersionMismatch(
            f"this server (Qdrant {client.version}) cannot make a collection like {about.collection}: {error.said}",
            where=client.address,
            tried="an empty collection under a scratch name; nothing was touched",
            todo="restore to a server of the version the backup was made on",
        ) from error
    finally:
        left = leftovers.remove_collection(client, name, cleanup)
    if left:
        raise StoreError(f"the trial collection could not be removed: {left}", where=client.address)


def _create(client: Client, name: str, body: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """With as much of the configuration as this server takes."""
    optional = [key for key in _OPTIONAL if key in body]
    last: Refused | None = None
    for without in ([], *([key] for key in optional), optional):
        attempt = {key: value for key, value in body.items() if key not in without}
        try:
            client.create_collection(name, attempt)
        except Refused as error:
            if error.status >= 500:
                raise
            last = error
        else:
            said = f" ({last.said})" if last is not None else ""
            return attempt, [f"{key} is left at the server's defaults{said}" for key in without]
    assert last is not None
    raise last


def _index(client: Client, name: str, about: About) -> tuple[dict[str, Any], dict[str, str]]:
    """The payload indexes this server makes, and by field what is not as it was."""
    made: dict[str, Any] = {}
    notes: dict[str, str] = {}
    for field, stored in about.indexes.items():
        wanted = index_request(stored)
        plain = wanted.get("type") if isinstance(wanted, Mapping) else None
        if not (said := _refused(client, name, field, wanted)):
            made[field] = wanted
        elif plain is not None and not _refused(client, name, field, plain):
            made[field], notes[field] = plain, f"the index of {field} has lost its options ({said})"
        else:
            notes[field] = f"the index of {field} is missing, this server cannot make it ({said})"
    return made, notes


def _refused(client: Client, name: str, field: str, wanted: Any) -> str:
    """Why the server does not make this index; nothing where it does."""
    try:
        client.create_index(name, field, wanted, 60.0)
    except Refused as error:
        if error.status >= 500:
            raise
        return error.said or "refused"
    return ""


def _require_vectors(client: Client, about: About, wanted: dict[str, Any], found: dict[str, Any]) -> None:
    for kind in ("vectors", "sparse_vectors"):
        want, have = wanted.get(kind) or {}, found.get(kind) or {}
        for name, params in want.items():
            different = name not in have or any(params.get(key) != have[name].get(key) for key in _ESSENTIAL)
            if different:
                raise VersionMismatch(
                    f"this server (Qdrant {client.version}) cannot hold vector {name!r} of {about.collection}: "
                    f"wanted {params}, it makes {have.get(name)}",
                    where=client.address,
                    tried="an empty collection under a scratch name; nothing was touched",
                    todo="restore to a server of the version the backup was made on",
                )


def _differences(wanted: Any, found: Any, place: str = "") -> Iterator[str]:
    """What of a schema is otherwise on this server, setting by setting."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for key in sorted(wanted.keys() | found.keys()):
            yield from _differences(wanted.get(key), found.get(key), f"{place}.{key}" if place else str(key))
    elif (wanted or None) != (found or None):
        yield f"{place} was {_said(wanted)}, here it is {_said(found)}"


def _said(value: Any) -> str:
    return "not set" if value is None else str(value)


def _filled(section: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if value is not None}
