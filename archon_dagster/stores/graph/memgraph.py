"""Memgraph, as real servers of 3.2 and 3.6 behave.

What decides the code: schema statements and most ``SHOW`` run only outside a transaction; enum values become maps
without a word when their enum does not exist yet; many permanent errors are called transient, so a conflict is told
by its text; ``query.timeout`` counts the whole transaction unless it is begun with ``timeout=0``; any open
transaction makes schema statements fail after a second on 3.2. ``DROP GRAPH`` and ``RECOVER SNAPSHOT … FORCE`` are
never used: the first was not durable in a test, the second empties the database when the file is damaged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from archon_dagster.stores.graph import early
from archon_dagster.stores.graph.connection import Bolt, QueryRefused
from archon_dagster.stores.graph.dialect import Dialect, State, quoted
from archon_dagster.stores.graph.memgraph_schema import (
    constraint,
    constraint_of,
    create_enum,
    create_trigger,
    enum_of,
    index_statement,
    indexes,
    trigger_of,
)
from archon_dagster.stores.graph.schema import SchemaObject
from archon_dagster.stores.graph.special_values import utc_as_offset
from archon_dagster.stores.graph.values import Json, leaves

CONFLICTS = (
    "Cannot resolve conflicting transactions",
    # somebody else's open transaction or schema statement; later versions say more after these words
    "Cannot get unique access",
    "Cannot get read only access",
    "Cannot get read-only access",
    "Cannot get shared access",
)
SECRET_SETTINGS = ("license", "organization", "password", "secret", "key")
_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def memgraph_version(bolt: Bolt) -> str | None:
    """The version of a Memgraph server, ``None`` for any other: only Memgraph knows ``SHOW VERSION``."""
    try:
        rows = bolt.rows("SHOW VERSION", "ask for the version")
    except QueryRefused as error:
        if error.not_understood:
            return None
        raise
    return str(rows[0][0])


class Memgraph(Dialect):
    """Memgraph from 2.x on; tested on the recorded answers of 3.2.1."""

    name = "memgraph"
    conflicts = CONFLICTS
    unlimited = True
    dump = "DUMP DATABASE"

    def __init__(self, version: str):
        super().__init__(version)
        self._early: early.Way | None = early.Way()
        self._asked = False

    def state(self, bolt: Bolt) -> State:
        storage = {str(k): v for k, v in bolt.rows("SHOW STORAGE INFO", "read the storage information")}
        settings, unread = _optional(bolt, "SHOW DATABASE SETTINGS")
        kept = {str(k): str(v) for k, v in settings if not any(word in str(k) for word in SECRET_SETTINGS)}
        details = {"storage_mode": storage.get("storage_mode"), "settings": kept}
        missing = [unread] if unread else []
        for query, what in (
            ("SHOW USERS", "users (names only, passwords cannot be read)"),
            ("SHOW ROLES", "roles and privileges"),
            ("SHOW STREAMS", "streams"),
        ):
            names, unread = _optional(bolt, query)
            if unread:
                missing.append(unread)
            elif names:
                missing.append(f"Memgraph {what}: {', '.join(str(row[0]) for row in names)}")
        if kept:
            missing.append("Memgraph settings are recorded with the backup but not restored")
        return State(
            repeatable=_repeatable(storage),
            size_bytes=size_in_bytes(storage.get("disk_usage")),
            details=details,
            not_covered=tuple(missing),
        )

    def schema(self, bolt: Bolt) -> list[SchemaObject]:
        ask = _tables(bolt)
        return (
            [enum_of(row) for row in ask("SHOW ENUMS")]
            + indexes(bolt, ask("SHOW INDEX INFO"), ask("SHOW VECTOR INDEX INFO"))
            + [constraint_of(row) for row in ask("SHOW CONSTRAINT INFO")]
            + [trigger_of(row) for row in ask("SHOW TRIGGERS")]
        )

    def create(self, item: SchemaObject) -> list[str]:
        maker = {"enum": create_enum, "constraint": constraint("CREATE"), "trigger": create_trigger}
        if item.kind == "index":
            return index_statement("CREATE", item)
        return maker[item.kind](item)

    def drop(self, item: SchemaObject) -> list[str]:
        if item.kind == "enum":
            return []  # "Not yet implemented: Drop enum"
        if item.kind == "trigger":
            return [f"DROP TRIGGER {quoted(item.name or '')}"]
        return index_statement("DROP", item) if item.kind == "index" else constraint("DROP")(item)

    def extend_enum(self, wanted: SchemaObject, existing: SchemaObject) -> list[str]:
        lacking = [value for value in wanted.options["values"] if value not in existing.options["values"]]
        return [f"ALTER ENUM {quoted(wanted.name or '')} ADD VALUE {quoted(value)}" for value in lacking]

    def inquire(self, bolt: Bolt, line: bytes) -> None:
        if not self._asked and early.IN_LINE.search(line):
            self._early, self._asked = early.ask(bolt), True

    def refuses(self, labels: Sequence[str], properties: dict[str, Json], line: bytes) -> str | None:
        """What came from another server and would fail here, or lose precision without a word."""
        if not _SUSPECT.search(line) and not early.IN_LINE.search(line):
            return None
        for name, value in properties.items():
            for depth, (kind, content) in enumerate(leaves(value)):
                if (why := _unkept(kind, content) or self._unsent(kind, content, depth)) is not None:
                    return f"{why} in property {name!r}"
        return None

    def _unsent(self, kind: str, content: Any, depth: int) -> str | None:
        if not early.is_early(kind, content) or (self._early is not None and not (self._early.text and depth)):
            return None
        return f"the local datetime before 1970{' inside a list or map' if depth else ''}"

    def as_text(self, properties: dict[str, Json], line: bytes) -> tuple[str, ...]:
        if self._early is None or not self._early.text or not early.IN_LINE.search(line):
            return ()
        return tuple(name for name, value in properties.items() if early.is_early(*next(leaves(value))))

    def outgoing(self, properties: dict[str, Any], line: bytes) -> dict[str, Any]:
        """A zone that is called ``UTC`` would come back as ``Etc/UTC``; for what is before 1970 see :mod:`.early`."""
        if b"[UTC]" in line:
            properties = {name: utc_as_offset(value) for name, value in properties.items()}
        if self._early is not None and early.IN_LINE.search(line):
            properties = {name: self._early.sent(value) for name, value in properties.items()}
        return properties

    def tidy(self, bolt: Bolt) -> None:
        bolt.rows("FREE MEMORY", "free the memory of deleted objects")  # else every scan passes over them


_SUSPECT = re.compile(rb'"(?:bytes|Time|Duration)":|\.\d{6}(?!000)\d{3}|"Point":')


def _unkept(kind: str, content: Any) -> str | None:
    """Memgraph has microseconds, no months in durations, no zoned times, no bytes, and four reference systems."""
    if kind in ("bytes", "Time"):
        return f"the {kind} value"
    if kind == "Duration":
        return _unkept_duration(*(int(part) for part in content))
    if kind in ("LocalTime", "LocalDateTime", "DateTime") and not _clock_of(content).endswith("000"):
        return f"the nanoseconds of the {kind}"
    if kind == "Point" and content[0] not in (7203, 9157, 4326, 4979):
        return f"the point with reference system {content[0]}"
    return None


def _unkept_duration(months: int, days: int, seconds: int, nanoseconds: int) -> str | None:
    """Memgraph counts microseconds, and tells them as days and the rest of a day, both of the same sign."""
    if months or nanoseconds % 1000:
        return "the months or nanoseconds of the duration"
    total = (days * 86_400 + seconds) * 10**9 + nanoseconds
    if abs(total) // 10**3 >= 2**63:
        return "a duration of so many days"
    shown_days = abs(total) // (86_400 * 10**9) * (1 if total >= 0 else -1)
    return "the division into days and seconds of the duration" if shown_days != days else None


def _clock_of(text: str) -> str:
    return text.rpartition(".")[2][:9]


def _repeatable(storage: dict[str, Any]) -> bool:
    isolation = storage.get("session_isolation_level") or storage.get("global_isolation_level")
    analytical = storage.get("storage_mode") == "IN_MEMORY_ANALYTICAL"
    return not analytical and isolation in (None, "SNAPSHOT_ISOLATION")


def size_in_bytes(text: Any) -> int | None:
    """``195.78KiB`` as a number of bytes."""
    match = re.fullmatch(r"([\d.]+)\s*([KMGT]?i?B)", str(text))
    return int(float(match[1]) * _UNITS[match[2]]) if match and match[2] in _UNITS else None


def _optional(bolt: Bolt, query: str) -> tuple[list[Any], str | None]:
    """The answer to a question this edition, version or user may not ask; then the reason instead."""
    try:
        return bolt.rows(query, f"run {query}"), None
    except QueryRefused as error:
        return [], None if error.not_understood else f"what {query} lists could not be read: {error.text:.120}"


def _tables(bolt: Bolt) -> Callable[[str], list[dict[str, Any]]]:
    def ask(query: str) -> list[dict[str, Any]]:
        try:
            return bolt.table(query, f"read the schema ({query})")
        except QueryRefused as error:
            if error.not_understood:  # older than this kind of object
                return []
            raise

    return ask
