"""Points into columns: what REST or Qdrant's engine return for a point becomes one row of an Arrow table.

Vectors are turned into single precision at once and kept as raw bytes: a Python float takes eight times the room.
"""

from __future__ import annotations

import json
import uuid
from array import array
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from archon_dagster.stores.vectors.portable.layout import About, Column, Shape, column_type, schema

if TYPE_CHECKING:
    import pyarrow as pa

_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def single(values: Iterable[float]) -> array[float]:
    """Numbers in single precision; REST has no number for NaN and says null."""
    try:
        return array("f", values)
    except TypeError:
        return array("f", [float("nan") if value is None else value for value in values])


def compact(vector: Any) -> dict[str, Any]:
    """A point's vectors by name (the unnamed one's is empty), every list of numbers an ``array``."""
    if vector is None:
        return {}
    if isinstance(vector, list):  # by far the most frequent
        return {"": _compact(vector)} if vector else {}
    if isinstance(vector, Mapping) and not _is_sparse(vector):
        return {name: _compact(value) for name, value in vector.items() if value is not None}
    return {"": _compact(vector)}


def _is_sparse(value: Any) -> bool:
    return hasattr(value, "indices") or (isinstance(value, Mapping) and value.keys() == {"indices", "values"})


def _compact(value: Any) -> Any:
    if isinstance(value, list):
        rows = bool(value) and isinstance(value[0], list | tuple | array)
        return [single(row) for row in value] if rows else single(value)
    if isinstance(value, Mapping):
        return _sparse(value["indices"], value["values"])
    if hasattr(value, "indices"):  # the engine's SparseVector
        return _sparse(value.indices, value.values)
    return single(value)


def _sparse(indices: Iterable[int], values: Iterable[float]) -> dict[str, Any]:
    """Sorted by index: a server need not keep the order, and the same data must give the same file."""
    pairs = sorted(zip(indices, values, strict=True))
    return {"indices": array("I", [index for index, _ in pairs]), "values": single([value for _, value in pairs])}


def payload_text(payload: Any) -> str | None:
    """A payload as JSON with sorted keys; ``None`` where there is none. Integers and floats stay what they are."""
    if not payload:
        return None
    return _JSON.encode(payload)


class Batch:
    """Rows being collected; :meth:`table` hands them out as columns and begins anew."""

    def __init__(self, about: About) -> None:
        self._about, self._schema = about, schema(about)
        self._columns = {column.vector: column for column in about.columns}
        self._clear()

    def _clear(self) -> None:
        self.rows = self.size = 0
        self._ids: list[str] = []
        self._kinds: list[str] = []
        self._payloads: list[str | None] = []
        self._vectors = {name: _builder(column) for name, column in self._columns.items()}

    def add(self, point_id: Any, vectors: Mapping[str, Any], payload: Any) -> int:
        """One point with its vectors as :func:`compact` gives them; returns the bytes it takes.

        :raises ValueError: it has a vector that the collection's configuration does not know.
        """
        if unknown := vectors.keys() - self._columns.keys():
            raise ValueError(f"point {point_id} has a vector {sorted(unknown)[0]!r} the configuration does not know")
        number = isinstance(point_id, int) and not isinstance(point_id, bool)
        known = number or isinstance(point_id, uuid.UUID)
        text, packed = payload_text(payload), str(point_id if known else uuid.UUID(str(point_id)))
        size = len(packed) + len(text or "")
        for name, builder in self._vectors.items():
            size += builder.add(vectors.get(name))
        self._ids.append(packed)
        self._kinds.append("number" if number else "uuid")
        self._payloads.append(text)
        self.rows += 1
        self.size += size
        return size

    def table(self) -> pa.Table:
        """All rows so far."""
        import pyarrow as pa

        text = (pa.array(values, pa.string()) for values in (self._ids, self._kinds, self._payloads))
        vectors = [self._vectors[column.vector].array() for column in self._about.columns]
        table = pa.Table.from_arrays([*text, *vectors], schema=self._schema)
        self._clear()
        return table


class _Lists:
    """Lists of numbers of one C type, one after another."""

    def __init__(self, code: str) -> None:
        self.code, self.values, self.ends = code, bytearray(), array("i", [0])

    def add(self, values: array[Any] | None) -> int:
        self.values += values.tobytes() if values is not None else b""
        self.ends.append(len(self.values) // 4)
        return 4 * len(values or ())

    def array(self, kind: pa.DataType, missing: list[bool] | None = None) -> pa.Array:
        import pyarrow as pa

        numbers = pa.Array.from_buffers(
            pa.float32() if self.code == "f" else pa.uint32(), len(self.values) // 4, [None, pa.py_buffer(self.values)]
        )
        return _lists(self.ends, numbers, kind, missing)


class _Dense:
    def __init__(self, column: Column) -> None:
        self._type, self._lists, self._missing = column_type(column.shape), _Lists("f"), list[bool]()

    def add(self, value: Any) -> int:
        self._missing.append(value is None)
        return self._lists.add(value)

    def array(self) -> pa.Array:
        return self._lists.array(self._type, self._missing)


class _Multi:
    def __init__(self, column: Column) -> None:
        self._type, self._lists, self._missing = column_type(column.shape), _Lists("f"), list[bool]()
        self._ends = array("i", [0])

    def add(self, value: Any) -> int:
        self._missing.append(value is None)
        size = sum(self._lists.add(row) for row in value or ())
        self._ends.append(len(self._lists.ends) - 1)
        return size

    def array(self) -> pa.Array:
        return _lists(self._ends, self._lists.array(self._type.value_type), self._type, self._missing)


class _Sparse:
    def __init__(self, column: Column) -> None:
        self._type, self._missing = column_type(column.shape), list[bool]()
        self._indices, self._values = _Lists("I"), _Lists("f")

    def add(self, value: Any) -> int:
        self._missing.append(value is None)
        indices, values = (value["indices"], value["values"]) if value is not None else (None, None)
        return self._indices.add(indices) + self._values.add(values)

    def array(self) -> pa.Array:
        import pyarrow as pa

        fields = [self._type.field(number) for number in range(self._type.num_fields)]
        parts = [self._indices.array(fields[0].type), self._values.array(fields[1].type)]
        return pa.StructArray.from_arrays(parts, fields=fields, mask=pa.array(self._missing, pa.bool_()))


def _builder(column: Column) -> _Dense | _Multi | _Sparse:
    kinds: dict[Shape, type[_Dense] | type[_Multi] | type[_Sparse]] = {
        "dense": _Dense, "multi": _Multi, "sparse": _Sparse,
    }  # fmt: skip
    return kinds[column.shape](column)


def _lists(ends: array[int], values: pa.Array, kind: pa.DataType, missing: list[bool] | None) -> pa.Array:
    import pyarrow as pa

    offsets = pa.Array.from_buffers(pa.int32(), len(ends), [None, pa.py_buffer(ends)])
    mask = pa.array(missing, pa.bool_()) if missing is not None and any(missing) else None
    return pa.ListArray.from_arrays(offsets, values, type=kind, mask=mask)
