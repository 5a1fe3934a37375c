"""Old events that belong to no run are removed from Dagster's event log; the newest stay, however old they are.

A run's events go with the run. What sensors and the daemon report (evaluations of the services' checks, observations,
changes of freshness) belongs to none, and Dagster itself removes it only with everything else that is known of an asset
(``wipe_asset``). So it is done in the tables of its SQL storage, which are the same on SQLite and PostgreSQL
(``dagster._core.storage.event_log.schema``): a few rows at a time, so that nobody who writes has to wait for long.

SQLite keeps such events twice, in a file for "the run without a name" and in the index; the rows of checks hold theirs
once more. A file does not shrink by this: what is written next uses the room.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sql

KEPT = 50
"""How many of each check, and of each kind of event of an asset, are kept whatever their age."""

BATCH = 500  # rows that are removed at once
TYPES = ("ASSET_CHECK_EVALUATION", "ASSET_OBSERVATION", "FRESHNESS_STATE_EVALUATION", "FRESHNESS_STATE_CHANGE")
_MATERIALIZATION = "ASSET_MATERIALIZATION"

_EVENTS = sql.table(
    "event_logs",
    sql.column("id", sql.BigInteger), sql.column("run_id", sql.String), sql.column("dagster_event_type", sql.Text),
    sql.column("asset_key", sql.Text), sql.column("partition", sql.Text), sql.column("timestamp", sql.DateTime),
)  # fmt: skip
_CHECKS = sql.table(
    "asset_check_executions",
    sql.column("id", sql.BigInteger), sql.column("run_id", sql.String), sql.column("asset_key", sql.Text),
    sql.column("check_name", sql.Text), sql.column("partition", sql.Text),
    sql.column("evaluation_event_timestamp", sql.DateTime), sql.column("evaluation_event_storage_id", sql.BigInteger),
)  # fmt: skip
_TAGS = sql.table("asset_event_tags", sql.column("event_id", sql.BigInteger))

Connect = Callable[[], AbstractContextManager[sql.Connection]]
"""Opens a connection for one batch; what was done in it is there for others when it is closed."""


@dataclass(frozen=True, slots=True)
class EventStore:
    """Where the events are.

    :param index: what is asked across runs. :param runless: another copy of the events without a run, if there is one.
    :param run_exists: whether a run is still there: results of checks outlive the run that made them.
    """

    index: Connect
    runless: Connect | None
    run_exists: Callable[[str], bool]


def purge(store: EventStore, before: datetime, kept: int = KEPT) -> int:
    """Remove what is older; how many events, each counted once.

    :param before: UTC, without a zone, as the tables have it. :param kept: of each check and kind of event.
    """
    _purge_checks(store, before, kept)
    removed = _purge_events(store.index, before, kept, of_checks=_without_result())
    if store.runless is not None:
        _purge_events(store.runless, before, kept, of_checks=None)
    return removed


def purge_partitions(store: EventStore, asset: str, there: Collection[str], before: datetime) -> int:
    """Remove what was materialized without a run, and is older, of an asset's partitions that are not there any more.

    :param asset: its key as the tables have it.
    """
    removed = 0
    for connect in filter(None, (store.runless, store.index)):
        table = _EVENTS.c
        of_asset = (table.run_id == "", table.dagster_event_type == _MATERIALIZATION, table.asset_key == asset)
        with connect() as connection:
            known = connection.execute(sql.select(table.partition).where(*of_asset).distinct()).scalars().all()
        gone = [name for name in known if name is not None and name not in there]
        counts = [
            _remove(connect, table.id, [*of_asset, table.partition == name, table.timestamp < before], tags=True)
            for name in gone
        ]
        removed = sum(counts)
    return removed


def _purge_checks(store: EventStore, before: datetime, kept: int) -> None:
    """The results of checks that no run made, or one that is gone."""
    table = _CHECKS.c
    for group in _groups(store.index, table.asset_key, table.check_name, table.partition):
        old = [*group, table.evaluation_event_timestamp < before]
        if (oldest := _oldest_kept(store.index, table.id, group, kept)) is None:
            continue
        old.append(table.id < oldest)
        with store.index() as connection:
            runs = connection.execute(sql.select(table.run_id).where(*old).distinct()).scalars().all()
        gone = [run for run in runs if not run or not store.run_exists(run)]
        for run in gone:
            _remove(store.index, table.id, [*old, _is(table.run_id, run)])


def _purge_events(connect: Connect, before: datetime, kept: int, of_checks: sql.ColumnElement[bool] | None) -> int:
    """Events without a run.

    :param of_checks: which of those of checks may go; ``None``: all but the newest of the asset.
    """
    table, removed = _EVENTS.c, 0
    which = (table.run_id == "", table.dagster_event_type.in_(TYPES))
    for group in _groups(connect, table.dagster_event_type, table.asset_key, table.partition, where=which):
        old = [*which, *group, table.timestamp < before]
        if of_checks is not None:
            old.append(sql.or_(table.dagster_event_type != TYPES[0], of_checks))
        if (oldest := _oldest_kept(connect, table.id, [*which, *group], kept)) is not None:
            removed += _remove(connect, table.id, [*old, table.id < oldest], tags=True)
    return removed


def _without_result() -> sql.ColumnElement[bool]:
    """The result of the check that an event has told of is not kept (any more)."""
    told = _CHECKS.c.evaluation_event_storage_id
    return _EVENTS.c.id.not_in(sql.select(told).where(told.is_not(None)))


def _groups(connect: Connect, *columns: Any, where: tuple[Any, ...] = ()) -> Iterator[list[Any]]:
    """The conditions for each combination of values that there is."""
    with connect() as connection:
        rows = connection.execute(sql.select(*columns).where(*where).distinct()).all()
    for row in rows:
        yield [_is(column, value) for column, value in zip(columns, row, strict=True)]


def _is(column: Any, value: Any) -> Any:
    return column.is_(None) if value is None else column == value


def _oldest_kept(connect: Connect, number: Any, group: list[Any], kept: int) -> int | None:
    """The number of the oldest row that is kept whatever its age; ``None`` where there are no more than that."""
    with connect() as connection:
        newest = sql.select(number).where(*group).order_by(number.desc()).limit(1).offset(kept - 1)
        found: int | None = connection.execute(newest).scalar()
        return found


def _remove(connect: Connect, number: Any, which: list[Any], *, tags: bool = False) -> int:
    removed = 0
    while True:
        with connect() as connection:
            batch = connection.execute(sql.select(number).where(*which).order_by(number).limit(BATCH)).scalars().all()
            if batch:
                connection.execute(sql.delete(number.table).where(number.in_(batch)))
            if batch and tags:
                connection.execute(sql.delete(_TAGS).where(_TAGS.c.event_id.in_(batch)))
        removed += len(batch)
        if len(batch) < BATCH:
            return removed
