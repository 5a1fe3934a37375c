"""Which columns the points of a collection need, and what the file says of the collection."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from archon_dagster.stores.vectors.fingerprint import dense_vectors

if TYPE_CHECKING:
    import pyarrow as pa

KIND = "collection-points"
MEDIA_TYPE = "application/vnd.apache.parquet"
PREFIX = "qdrant-portable/"
FORMAT = 1
METADATA = b"archon"

Shape = Literal["dense", "multi", "sparse"]


def artifact_name(snapshot_artifact: str) -> str:
    """The portable artifact that stands beside a snapshot's artifact."""
    return PREFIX + snapshot_artifact.partition("/")[2]


@dataclass(frozen=True, slots=True)
class Column:
    """One vector of a collection: its name (empty: the unnamed one) and its shape."""

    vector: str
    shape: Shape

    @property
    def label(self) -> str:
        """The column's name in the file."""
        return f"vector:{self.vector}" if self.vector else "vector"


@dataclass(frozen=True)
class About:
    """What the file says of the collection.

    :param config: as a snapshot's ``config.json`` or ``config`` of ``GET /collections/{c}``.
    :param indexes: payload field -> index parameters, without counters.
    :param aliases: names that stood for the collection.
    """

    collection: str
    server_version: str
    config: dict[str, Any]
    indexes: dict[str, Any]
    aliases: tuple[str, ...] = ()
    format: int = field(default=FORMAT)

    @classmethod
    def of(
        cls, collection: str, version: str, config: Mapping[str, Any], indexes: Mapping[str, Any],
        aliases: Mapping[str, str],
    ) -> About:  # fmt: skip
        """From what a snapshot and its server say; counters are left out, so that the same data give the same file."""
        return cls(
            collection=collection, server_version=version, config=dict(config),
            indexes={name: _without_counter(value) for name, value in indexes.items()},
            aliases=tuple(sorted(alias for alias, behind in aliases.items() if behind == collection)),
        )  # fmt: skip

    @property
    def columns(self) -> tuple[Column, ...]:
        """The vector columns, in a fixed order."""
        params = self.config.get("params") or {}
        dense = [
            Column(name, "multi" if value.get("multivector_config") else "dense")
            for name, value in dense_vectors(self.config).items()
        ]
        sparse = [Column(name, "sparse") for name in params.get("sparse_vectors") or {}]
        return tuple(sorted([*dense, *sparse], key=lambda column: column.vector))

    def to_json(self) -> bytes:
        """The metadata entry."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> About:
        """Raises ``ValueError`` for what is no entry of ours."""
        try:
            found = json.loads(data)
            if found["format"] != FORMAT:
                raise ValueError(f"format {found['format']}, this version reads {FORMAT}")
            return cls(
                collection=str(found["collection"]), server_version=str(found["server_version"]),
                config=dict(found["config"]), indexes=dict(found["indexes"]), aliases=tuple(found["aliases"]),
            )  # fmt: skip
        except (KeyError, TypeError) as error:
            raise ValueError(f"its metadata lack {error}") from error


def schema(about: About) -> pa.Schema:
    """The Arrow schema of a collection's file."""
    import pyarrow as pa

    fixed = [
        pa.field("id", pa.string(), nullable=False),
        pa.field("id_kind", pa.string(), nullable=False),
        pa.field("payload", pa.string()),
    ]
    vectors = [pa.field(column.label, column_type(column.shape)) for column in about.columns]
    return pa.schema([*fixed, *vectors])


def column_type(shape: Shape) -> pa.DataType:
    """The Arrow type of a vector column."""
    import pyarrow as pa

    floats = pa.list_(pa.field("element", pa.float32(), nullable=False))
    if shape == "dense":
        return floats
    if shape == "multi":
        return pa.list_(pa.field("element", floats, nullable=False))
    indices = pa.list_(pa.field("element", pa.uint32(), nullable=False))
    return pa.struct([pa.field("indices", indices, nullable=False), pa.field("values", floats, nullable=False)])


def _without_counter(index: Any) -> Any:
    return {key: value for key, value in index.items() if key != "points"} if isinstance(index, Mapping) else index
