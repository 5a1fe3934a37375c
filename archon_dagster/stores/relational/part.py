"""One table of a database, with the verbs of a store; see :class:`~archon_dagster.stores.parts.PartStore`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from archon_dagster.errors import BackupNotFound, ConfigurationError, StoreError
from archon_dagster.repository.manifest import Artifact, Fingerprint
from archon_dagster.stores.base import Description, Sink, Source, StoreName, Verdict, Work
from archon_dagster.stores.relational.adding import LEFT_OUT, Adding
from archon_dagster.stores.relational.export import DUMP_KIND, TABLE_KIND, export_database, live_content
from archon_dagster.stores.relational.replacing import replace_rows
from archon_dagster.stores.relational.restoring import Restoring
from archon_dagster.stores.relational.sql import query
from archon_dagster.stores.relational.store import RelationalStore
from archon_dagster.stores.relational.table import Table, has_schema, kind_of

_ROWS_ONLY = (
    "its definition: columns, indexes, triggers, keys and privileges stay as they are now; its rows and the "
    "sequences of its columns change, not the tables that inherit from it, nor sequences that it does not own"
)
_A_MOMENT = 60.0  # seconds


class TableStore:
    """See the module.

    :param new_name: what the table is called in the live database, where that is not its name in the backup.
    """

    name: StoreName = "relational"

    def __init__(self, whole: RelationalStore, table: str, new_name: str = ""):
        self._whole, self._adds, self._added = whole, bool(new_name), False
        self._table = Table.parse(table)
        self._live = Table.parse(new_name, self._table.schema) if new_name else self._table
        self.kept, self.live = str(self._table), str(self._live)

    @property
    def left_out(self) -> tuple[str, ...]:
        return (_ROWS_ONLY,) if self.replaces() else (LEFT_OUT,)

    def describe(self) -> Description:
        found = self._whole.describe()
        return replace(found, counts={k: v for k, v in found.counts.items() if k == self.live}, size_bytes=None)

    def exists(self) -> bool:
        return self._kind() is not None

    def replaces(self) -> bool:
        return not self._adds and self.exists()

    def captured(self, counts: Mapping[str, int], fingerprint: Fingerprint) -> int | None:
        return counts.get(self.kept)

    def share(self, fingerprint: Fingerprint) -> Fingerprint:
        rows = fingerprint.parts.get(f"table {self.kept}")
        return fingerprint.model_copy(update={"parts": {f"table {self.live}": rows} if rows else {}})

    def fingerprint(self, work: Work) -> Fingerprint:
        """Of the rows."""
        found = live_content(self._whole.programs, work, self._whole.database, self._live).fingerprint
        return found.model_copy(update={"parts": {k: v for k, v in found.parts.items() if k == f"table {self.live}"}})

    def export(self, sink: Sink, work: Work) -> None:
        export_database(self._whole.programs, sink, work, self._whole.database, self._live)

    def verify(self, source: Source, work: Work) -> Iterable[Verdict]:
        return self._whole.verify(source, work)

    def preflight(self, source: Source, work: Work) -> None:
        """Whether the archive has the table, the versions go together, and there is a place for it."""
        self._restoring(source, work).check_versions(self._dump(source))
        kind = self._kind()
        if self._adds and kind is not None:
            raise StoreError(
                f"there is a {self.live} already; nothing was touched",
                where=f"{self._whole.programs.address}, database {self._whole.database}",
                todo="choose another name (--as), or drop that one if it is not needed",
            )
        if kind not in (None, "r"):
            raise StoreError(
                f"{self.live} is no ordinary table there (pg_class.relkind {kind!r}); nothing was touched",
                where=self._whole.programs.address,
                todo="restore it under a new name (--as)",
            )
        if not has_schema(self._whole.programs, work, self._whole.database, self._live.schema):
            raise ConfigurationError(
                f"there is no schema {self._live.schema} in database {self._whole.database}; nothing was touched",
                todo=f"make it (CREATE SCHEMA), or name the table {self._table.schema}.{self._live.name}",
            )

    def restore(self, source: Source, work: Work) -> None:
        """Replace the rows of the table that is there, or add the table; see the modules that do it."""
        dump, restoring = self._dump(source), self._restoring(source, work)
        content = restoring.inspect(dump)
        if self.replaces():
            whole = self._whole
            replace_rows(whole.programs, source, dump, work, whole.database, self._table, self._live, content.states)
        else:
            Adding(restoring, self._table, self._live).run(dump, content)
            self._added = True

    def discard(self, work: Work) -> None:
        """A table is added whole or not at all; one that somebody else has made meanwhile is not ours."""
        if self._added:
            query(self._whole.programs, work, self._whole.database, f"DROP TABLE IF EXISTS {self._live.sql};\n")

    def _restoring(self, source: Source, work: Work) -> Restoring:
        return Restoring(self._whole.programs, source, work, self._whole.database)

    def _kind(self) -> str | None:
        work = Work(scratch=Path("/nonexistent"), deadline=_A_MOMENT)
        return kind_of(self._whole.programs, work, self._whole.database, self._live)

    def _dump(self, source: Source) -> Artifact:
        dumps = [artifact for artifact in source.artifacts(self.name) if artifact.kind in (DUMP_KIND, TABLE_KIND)]
        for dump in dumps:
            if self.kept in dump.counts:
                return dump
        tables = ", ".join(Table.counted(name).typed for dump in dumps for name in dump.counts)
        raise BackupNotFound(
            f"backup {source.backup_id} has no table {self._table.typed}",
            where=f"backup {source.backup_id}",
            tried=f"it has {tables or 'none'}",
            todo="name one of these, or another backup (archon backups); of a partitioned table, name its partitions",
        )
