"""The live database at a glance: version, size, rows per table."""

from __future__ import annotations

from archon_dagster.stores.base import Description, Work
from archon_dagster.stores.relational.programs import Programs
from archon_dagster.stores.relational.sql import query

_EXACT_BELOW = 256 * 1024 * 1024  # bytes of a table whose rows are counted; beyond it the planner's estimate serves

_SERVER = """
SELECT current_setting('server_version'), pg_database_size(current_database()), pg_encoding_to_char(encoding)
FROM pg_database WHERE datname = current_database();
"""
_EXTENSIONS = "SELECT extname, extversion FROM pg_extension ORDER BY 1;\n"
_OWN = """WHERE c.relkind = 'r' AND c.relpersistence <> 't'
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                  AND d.deptype = 'e')
ORDER BY n.nspname, c.relname
"""
_COUNTS = f"""
SELECT CASE WHEN pg_table_size(c.oid) < {_EXACT_BELOW} OR c.reltuples < 0
    THEN format('SELECT %L, count(*), true FROM ONLY %I.%I', n.nspname || '.' || c.relname, n.nspname, c.relname)
    ELSE format('SELECT %L, %s, false', n.nspname || '.' || c.relname, c.reltuples::bigint) END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
{_OWN}\\gexec
"""


def describe(programs: Programs, work: Work, database: str) -> Description:
    """Version, size and rows per table; tables beyond 256 MiB are estimated and named in ``details["estimated"]``."""
    ((version, size, encoding),) = query(programs, work, database, _SERVER)
    extensions = dict(query(programs, work, database, _EXTENSIONS))
    tables = query(programs, work, database, _COUNTS)
    return Description(
        store="relational",
        version=f"postgres {version.split()[0]}",
        address=f"{programs.address}, database {database}",
        counts={name: int(count) for name, count, _ in tables},
        size_bytes=int(size),
        details={
            "encoding": encoding,
            "extensions": extensions,
            "estimated": [name for name, _, exact in tables if exact != "t"],
        },
    )
