"""VACUUM (ANALYZE) the platform's database: PostgreSQL's own, which locks nobody out (never FULL)."""

from __future__ import annotations

from archon_dagster.maintenance.step import Done, MaintenanceContext
from archon_dagster.stores.relational.sql import query
from archon_dagster.stores.relational.store import open_relational

_STATE = "SELECT coalesce(sum(n_dead_tup), 0), pg_database_size(current_database()) FROM pg_stat_user_tables"


def vacuum(context: MaintenanceContext) -> Done:
    """Dead rows and size, before and after."""
    operation = context.operation
    store = open_relational(operation.settings, operation.runtime)
    with operation.work() as work:
        script = f"{_STATE};\nVACUUM (ANALYZE);\nSELECT pg_stat_clear_snapshot();\n{_STATE};\n"
        rows = [row for row in query(store.programs, work, store.database, script) if len(row) == 2]
    (dead, size), (dead_after, size_after) = rows
    return Done(f"{int(dead):,} -> {int(dead_after):,} dead rows, {int(size):,} -> {int(size_after):,} bytes")
