"""Reading a portable file back: what it says of its collection, and its points, a row group at a time.

Whatever is wrong with the file is a :class:`DamagedPortable` that says where: the footer, a row group, a row.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archon_dagster.errors import StoreError
from archon_dagster.repository.manifest import Part
from archon_dagster.stores.vectors.fingerprint import PointDigest
from archon_dagster.stores.vectors.portable.layout import METADATA, About, Column, schema
from archon_dagster.stores.vectors.waiting import never

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_MAGIC = b"PAR1"


class DamagedPortable(StoreError):
    """The file is not a whole, readable portable artifact; says where it stops being one."""


@dataclass(frozen=True)
class Group:
    """One row group: its number and its rows as an Arrow table."""

    number: int
    table: pa.Table


class PortableFile:
    """An open portable file. Use :func:`opened`."""

    def __init__(self, file: pq.ParquetFile, about: About, name: str, size: int) -> None:
        self.about, self._file, self._name, self._size = about, file, name, size

    @property
    def rows(self) -> int:
        return int(self._file.metadata.num_rows)

    def groups(self, check: Callable[[], None] = never) -> Iterator[Group]:
        """The row groups in the order they were written; one is in memory at a time."""
        count = self._file.metadata.num_row_groups
        for number in range(count):
            check()
            if self._file.metadata.row_group(number).total_byte_size > self._size:  # it is not compressed
                raise damaged(self._name, f"row group {number} of {count} claims more bytes than the file has")
            with reported(self._name, f"row group {number} of {count}"):
                table = self._file.read_row_group(number, use_threads=False).combine_chunks()
            yield Group(number, table)

    def points(self, check: Callable[[], None] = never) -> Iterator[tuple[int | str, dict[str, Any], Any]]:
        """Every point: its id, its vectors by name (single precision), its payload."""
        for group in self.groups(check):
            with reported(self._name, f"row group {group.number}"):
                rows = list(rows_of(group.table, self.about))
            yield from rows


@contextmanager
def opened(path: Path, name: str) -> Iterator[PortableFile]:
    """Open a portable file; raises :class:`DamagedPortable` where its footer or its columns are not ours."""
    import pyarrow.parquet as pq

    with reported(name, "its beginning"), path.open("rb") as raw:
        if raw.read(len(_MAGIC)) != _MAGIC:
            raise ValueError("it is no Parquet file")
    with reported(name, "its footer"):
        file = pq.ParquetFile(path, page_checksum_verification=True, memory_map=False, pre_buffer=False)
    with file:
        with reported(name, "its footer"):
            about = _about(file)
        yield PortableFile(file, about, name, path.stat().st_size)


def digest(path: Path, name: str, check: Callable[[], None], on_read: Callable[[int], None]) -> Part:
    """Count and digest of all points: read whole, from the first byte of the file to the last."""
    found = PointDigest()
    with opened(path, name) as file:
        for point_id, vectors, payload in file.points(check):
            found.add(point_id, vectors, payload)
            if found.count % 256 == 0:
                on_read(found.count)
        if found.count != file.rows:
            raise damaged(name, f"it says {file.rows} points and has {found.count}")
    return found.part()


def rows_of(table: pa.Table, about: About) -> Iterator[tuple[int | str, dict[str, Any], Any]]:
    """The rows of a table as points; raises ``ValueError`` for what cannot be one."""
    ids, payloads = point_ids(table), table.column("payload").to_pylist()
    vectors = {column.vector: _values(table, column) for column in about.columns}
    for row, point_id in enumerate(ids):
        named = {name: values[row] for name, values in vectors.items() if values[row] is not None}
        yield point_id, named, json.loads(payloads[row]) if payloads[row] is not None else None


def point_ids(table: pa.Table) -> list[int | str]:
    """The ids, numbers as numbers."""
    kinds, ids = table.column("id_kind").to_pylist(), table.column("id").to_pylist()
    if unknown := set(kinds) - {"number", "uuid"}:
        raise ValueError(f"unknown kind of id {unknown.pop()!r}")
    return [int(text) if kind == "number" else text for kind, text in zip(kinds, ids, strict=True)]


def one_chunk(table: pa.Table, label: str) -> pa.Array:
    """A column as one array."""
    import pyarrow as pa

    column = table.column(label)
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _values(table: pa.Table, column: Column) -> list[Any]:
    found = one_chunk(table, column.label)
    if column.shape == "dense":
        return _lists(found, "f")
    if column.shape == "multi":
        inner, ends = _lists(found.values, "f"), found.offsets.to_pylist()
        rows = [inner[start:end] for start, end in pairwise(ends)]
        return [row if valid else None for row, valid in zip(rows, found.is_valid().to_pylist(), strict=True)]
    indices, values = _lists(found.field(0), "I"), _lists(found.field(1), "f")
    return [
        {"indices": one, "values": other} if valid else None
        for one, other, valid in zip(indices, values, found.is_valid().to_pylist(), strict=True)
    ]


def _lists(lists: pa.ListArray, code: str) -> list[array[Any] | None]:
    """Each list as an ``array``; copied as bytes, no Python number is made."""
    import numpy as np

    raw = memoryview(lists.values.to_numpy(zero_copy_only=True).astype(np.dtype(code), copy=False)).cast("B")
    ends, valid = lists.offsets.to_pylist(), lists.is_valid().to_pylist()
    found: list[array[Any] | None] = []
    for start, end, there in zip(ends, ends[1:], valid, strict=False):
        one = array(code)
        one.frombytes(raw[4 * start : 4 * end])
        found.append(one if there else None)
    return found


def _about(file: pq.ParquetFile) -> About:
    entry = (file.metadata.metadata or {}).get(METADATA)
    if entry is None:
        raise ValueError("it is a Parquet file, but not one of ours")
    about = About.from_json(entry)
    if not file.schema_arrow.equals(schema(about), check_metadata=False):
        raise ValueError("its columns are not those of its collection")
    return about


@contextmanager
def reported(name: str, place: str) -> Iterator[None]:
    """Turn what Arrow or a row's content raises into damage at a place."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError, KeyError, IndexError, RecursionError) as error:
        raise damaged(
            name, f"{place} cannot be read: {str(error).splitlines()[0] if str(error) else error!r}"
        ) from error


def damaged(name: str, why: str) -> DamagedPortable:
    """The error for a damaged file."""
    return DamagedPortable(
        f"the portable copy is damaged: {why}", where=name, todo="use another backup (archon backups)"
    )
