"""The Parquet file of one collection, written as its points come by.

The bytes depend on the points alone: no times, no statistics, no compression (the repository compresses) and no
dictionaries. A row group ends where a point's id says so, not after so many rows: a point that is added or removed
changes one group and shifts none of the others' bytes, so the next backup stores little more than what has changed.
Every page has a checksum.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from archon_dagster.stores.vectors.fingerprint import id_key
from archon_dagster.stores.vectors.portable.encoding import Batch, compact
from archon_dagster.stores.vectors.portable.layout import METADATA, About, schema

SMALL_GROUP, LARGE_GROUP = 256 << 10, 4 << 20  # bytes of an average row group in small and in very large files
_TRAILER = 8  # bytes after the footer: its length and a magic number
_GROUPS = 4096  # row groups of a file before they are made larger: every one of them has an entry in the footer


def group_size(expected: int) -> int:
    """Bytes of an average row group in a file of about ``expected`` bytes.

    Small groups make the next backup add less; powers of two keep the size while a collection grows slowly.
    """
    size = SMALL_GROUP
    while size < LARGE_GROUP and expected > size * _GROUPS:
        size *= 2
    return size


class PortableWriter:
    """Writes points; memory does not grow beyond a row group and the footer. Use as a context manager.

    :param expected: about how many bytes the file will have; the size of the collection's snapshot will do.
    """

    def __init__(self, target: Path | IO[bytes], about: About, expected: int = 0) -> None:
        import pyarrow.parquet as pq

        self._file = pq.ParquetWriter(
            target, schema(about), version="2.6", compression="none", use_dictionary=False, write_statistics=False,
            store_schema=False, write_page_checksum=True, data_page_size=1 << 30,
        )  # fmt: skip
        self._file.add_key_value_metadata({METADATA: about.to_json()})
        self._batch = Batch(about)
        average = group_size(expected)
        self._smallest, self._largest = average // 2, 2 * average
        self._per_byte = (1 << 32) // (average - self._smallest)

    def add(self, point_id: Any, vector: Any, payload: Any) -> dict[str, Any]:
        """One point as REST or the engine return it; returns its vectors by name, in single precision.

        :raises ValueError: it cannot be written as it is.
        """
        vectors = compact(vector)
        size = self._batch.add(point_id, vectors, payload)
        if self._ends_group(point_id, size):
            self._end_group()
        return vectors

    def close(self) -> None:
        """Write what is left and the footer."""
        if self._batch.rows:
            self._end_group()
        self._file.close()

    def abandon(self) -> None:
        """Let go of a file that will not be used."""
        with suppress(Exception):  # whatever has gone wrong with it is known already
            self._file.close()

    def _ends_group(self, point_id: Any, size: int) -> bool:
        """Chosen by the id's own hash; the chance grows with the bytes, so that groups come out at the average."""
        if self._batch.size < self._smallest:
            return False
        return self._batch.size >= self._largest or zlib.crc32(id_key(point_id)) < size * self._per_byte

    def _end_group(self) -> None:
        table = self._batch.table()
        self._file.write_table(table, row_group_size=max(1, table.num_rows))

    def __enter__(self) -> PortableWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()


def row_groups(file: Path) -> Iterator[int]:
    """The sizes in bytes of a Parquet file's parts, in their order: the first four bytes, every row group, the footer.

    A part is one chunk of the repository, so that points that changed cost the groups they are in and no others.
    """
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(file)
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    starts = [min(group.column(column).data_page_offset for column in range(group.num_columns)) for group in groups]
    ends = [*starts, file.stat().st_size - metadata.serialized_size - _TRAILER, file.stat().st_size]
    yield from (end - start for start, end in pairwise([0, *ends]) if end > start)
