"""PostgreSQL: its own statistics of this database, and how fast it answers a statement.

The times are the server's clock, read in each statement of one session: starting ``psql`` is not in them, the way there
and back is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from archon_dagster.performance.measures import Fact, Found, Reading, Site
from archon_dagster.performance.sampling import TIMEOUT, Sample, told
from archon_dagster.stores.base import Work
from archon_dagster.stores.relational.sql import query
from archon_dagster.stores.relational.store import RelationalStore, open_relational

_BATCH = 25  # statements of one session
_BLOCKS, _TRANSACTIONS, _ROWS = 10_000, 1_000, 10_000  # fewer say nothing about a share
_DATABASE = """
SELECT blks_hit, blks_read, xact_commit, xact_rollback, deadlocks, temp_bytes, pg_database_size(datname),
  (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
  current_setting('max_connections'), current_setting('server_version'), coalesce(stats_reset::text, 'never')
FROM pg_stat_database WHERE datname = current_database();
"""
_TABLES = """
SELECT quote_ident(schemaname) || '.' || quote_ident(relname), n_live_tup, n_dead_tup,
  coalesce(greatest(last_vacuum, last_autovacuum)::text, 'never')
FROM pg_stat_user_tables ORDER BY n_live_tup + n_dead_tup DESC;
"""
_WORST = 5  # tables that are named
Table = tuple[str, int, int, str]


def measure(site: Site) -> Iterator[Found]:
    """The statistics, then a sample of statements that read a thousand rows of the largest table."""
    store = open_relational(site.settings, site.runtime)
    work = Work(Path("/nonexistent"), cancel=site.cancel, deadline=60.0, silence=2 * TIMEOUT)
    (row,) = query(store.programs, work, store.database, _DATABASE)
    yield from _statistics([int(cell) for cell in row[:9]])
    yield _fact("server", f"PostgreSQL {row[9].split()[0]}")
    yield _fact("statistics since", row[10])
    tables = [
        (name, int(live), int(dead), when)
        for name, live, dead, when in query(store.programs, work, store.database, _TABLES)
    ]
    yield from _bloat(tables)
    largest = tables[0][0] if tables and tables[0][1] else "pg_class"
    yield from told("database", "database, 1000 rows", _sample(site, store, work, largest))


def _statistics(row: list[int]) -> Iterator[Found]:
    hit, read, committed, rolled_back, deadlocks, temporary, size, connections, allowed = row
    if hit + read >= _BLOCKS:
        yield _reading("cache hits", hit / (hit + read))
    if committed + rolled_back >= _TRANSACTIONS:
        yield _reading("rolled back", rolled_back / (committed + rolled_back))
    yield _reading("connections used", connections / allowed)
    yield _reading("deadlocks", deadlocks)
    yield _reading("temporary files", temporary)
    yield _reading("size", size)


def _bloat(tables: list[Table]) -> Iterator[Found]:
    live, dead = sum(one[1] for one in tables), sum(one[2] for one in tables)
    if live + dead >= _ROWS:
        yield _reading("dead rows", dead / (live + dead))
    for name, alive, left, when in sorted(tables, key=lambda one: -one[2])[:_WORST]:
        if left:
            yield _fact(name, f"{left:,} dead of {alive + left:,} rows, last vacuumed: {when}")


def _sample(site: Site, store: RelationalStore, work: Work, table: str) -> Sample:
    """So many statements, in sessions of :data:`_BATCH`; ``table`` is quoted already."""
    settings = site.settings
    statement = (
        f"SELECT extract(epoch FROM clock_timestamp()), count(*) FROM (SELECT FROM {table} LIMIT 1000) AS taken;\n"
    )
    times: list[float] = []
    until = time.monotonic() + settings.performance_seconds
    while len(times) < settings.performance_samples and time.monotonic() < until:
        site.check()
        count = min(_BATCH, settings.performance_samples - len(times)) + 2  # the first interval is not counted
        script = f"SET statement_timeout = {int(TIMEOUT * 1000)};\n{statement * count}"
        clock = [float(row[0]) for row in query(store.programs, work, store.database, script) if row]
        times += [max(0.0, later - earlier) for earlier, later in list(pairwise(clock))[1:]]
    return Sample(tuple(sorted(times)))


def _reading(name: str, value: float) -> Reading:
    return Reading(area="database", subject="database", name=name, value=round(float(value), 4))


def _fact(name: str, text: str) -> Fact:
    return Fact(area="database", subject="database", name=name, text=text)
