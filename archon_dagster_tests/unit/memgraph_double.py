"""A double of the neo4j *driver* in front of what a real Memgraph 3.2.1 answered: not a graph database.

It answers ``SHOW`` statements from the recordings, refuses inside a transaction what the recordings say is refused
there, hands out prepared nodes and relationships, keeps what is written as a real one does (a zone by the name the
time zone database gives it, a duration as days and the rest of a day), and keeps a log of every statement with the
kind of transaction it came in. It is for questions of order and of transaction kinds; whether the statements do what
they should is for real servers to tell.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from neo4j._codec.hydration.bolt.v2.temporal import dehydrate_datetime, hydrate_datetime
from neo4j.exceptions import Neo4jError, ServiceUnavailable
from neo4j.time import DateTime, Duration

DATA = Path(__file__).parents[1] / "data" / "memgraph" / "v3.2.1"


def recorded(name: str) -> list[dict[str, Any]]:
    return json.loads((DATA / name).read_text())  # type: ignore[no-any-return]


def server_error(code: str, message: str) -> Neo4jError:
    """As the driver makes it of a failure message."""
    return Neo4jError._basic_hydrate(neo4j_code=code, message=message)


def _table(answers: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    shows = {a["q"]: a for a in answers if a["q"].startswith("SHOW") and a["ok"]}
    return {q: [dict(zip(a["keys"], row, strict=True)) for row in a["rows"]] for q, a in shows.items()}


EMPTY = _table(recorded("show-empty.json"))
WITH_DATA = {**EMPTY, **_table(recorded("show-with-data.json"))}
REFUSED_IN_TRANSACTION = {
    " ".join(rule["q"].split()[:2]): rule["error"]
    for rule in recorded("transaction-rules.json")
    if not rule["ok"] and "multicommand" in rule["error"]["message"]
}


DAY = 86_400 * 10**6  # microseconds
LINKS = {"UTC": "Etc/UTC", "Zulu": "Etc/UTC"}  # a few of the second names that the time zone database has for a zone


def kept(value: Any) -> Any:
    """What the driver reads after this was written as a parameter."""
    if isinstance(value, list):
        return [kept(item) for item in value]
    if isinstance(value, dict):
        return {key: kept(item) for key, item in value.items()}
    if isinstance(value, bytes):
        raise server_error("Memgraph.ClientError.MemgraphError.MemgraphError", "Something went wrong while executing")
    if isinstance(value, DateTime) and value.tzinfo is not None:
        seconds, nanoseconds, zone = dehydrate_datetime(value).fields  # type: ignore[no-untyped-call]
        zone = LINKS.get(zone, zone)
        return hydrate_datetime(seconds, nanoseconds // 1000 * 1000, zone)  # type: ignore[no-untyped-call]
    if isinstance(value, Duration):
        total = (value.days * 86_400 + value.seconds) * 10**6 + int(value.nanoseconds / 1000)
        days = abs(total) // DAY * (1 if total >= 0 else -1)
        return Duration(days=days, microseconds=total - days * DAY)
    return value


def is_early(value: Any) -> bool:
    """Whether there is a local datetime before 1970 anywhere in it."""
    if isinstance(value, (list, dict)):
        return any(map(is_early, value.values() if isinstance(value, dict) else value))
    return isinstance(value, DateTime) and value.tzinfo is None and value.year < 1970


@dataclass(frozen=True)
class Statement:
    """One statement as the server saw it."""

    text: str
    kind: Literal["auto-commit", "transaction"]
    mode: str
    timeout: float | None
    rows: int = 0


class Record:
    def __init__(self, row: dict[str, Any]):
        self._row = row

    def values(self) -> list[Any]:
        return list(self._row.values())

    def data(self) -> dict[str, Any]:
        return self._row

    def __getitem__(self, place: int) -> Any:
        return self.values()[place]


@dataclass
class MemgraphDouble:
    """The driver; give its ``open`` to the store.

    :param failures: by the beginning of a statement: errors raised one after the other before it succeeds.
    :param ends_at_early: a local datetime before 1970 among the parameters ends the session (memgraph issue 1748).
    :param dump: the rows of ``DUMP DATABASE``.
    :param lost: how many of every batch of relationships are quietly not created.
    """

    shows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: dict(EMPTY))
    nodes: list[tuple[int, list[str], dict[str, Any]]] = field(default_factory=list)
    relationships: list[tuple[str, int, int, dict[str, Any]]] = field(default_factory=list)
    failures: dict[str, list[Exception]] = field(default_factory=dict)
    ends_at_early: bool = False
    lost: int = 0
    dump: list[str] = field(default_factory=list)
    log: list[Statement] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)
    closed: int = 0

    def open(self, endpoint: Any, limit: float) -> MemgraphDouble:
        return self

    def session(self, *, database: str | None, default_access_mode: str = "WRITE", **_: Any) -> Session:
        return Session(self, default_access_mode)

    def verify_connectivity(self) -> None: ...

    def get_server_info(self) -> Any:
        raise AssertionError("Memgraph is known by SHOW VERSION")

    def close(self) -> None:
        self.closed += 1

    # what the server does

    def answer(self, statement: Statement, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        self.log.append(statement)
        self._fail(statement)
        if self.ends_at_early and any(map(is_early, parameters.values())):
            raise ServiceUnavailable("Connection to the server was lost")
        text = statement.text
        if text.startswith("RETURN"):
            moment = parameters["moment"]
            return [{"x": moment if text == "RETURN $moment" else DateTime.from_iso_format(moment)}]
        if text == "DUMP DATABASE":
            return [{"QUERY": row} for row in self.dump]
        if text in self.shows:
            return self.shows[text]
        if text.startswith("MATCH"):
            return self._read(text)
        if text.startswith("UNWIND"):
            return self._write(text, parameters["rows"])
        if text.startswith("SHOW"):
            raise server_error("Memgraph.ClientError.MemgraphError.MemgraphError", "The underlying parsing error is x")
        return []

    def _fail(self, statement: Statement) -> None:
        for beginning, errors in self.failures.items():
            if statement.text.startswith(beginning) and errors:
                raise errors.pop(0)
        refusal = REFUSED_IN_TRANSACTION.get(" ".join(statement.text.split()[:2]))
        if refusal is not None and statement.kind == "transaction":
            raise server_error(refusal["code"], refusal["message"])

    def _read(self, text: str) -> list[dict[str, Any]]:
        if "count(n)" in text:
            return [{"count": len(self.nodes)}]
        if "count(r)" in text:
            return [{"count": len(self.relationships)}]
        if "DELETE r" in text:
            gone, self.relationships = len(self.relationships), []
            return [{"count": gone}]
        if "DELETE n" in text:
            gone, self.nodes = len(self.nodes), []
            return [{"count": gone}]
        if "labels(n)" in text:
            return [{"id": n, "labels": labels, "properties": p} for n, labels, p in self.nodes]
        return [{"type": t, "a": a, "b": b, "properties": p} for t, a, b, p in self.relationships]

    def _write(self, text: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self.sent += rows
        for name in re.findall(r"localDateTime\(r\.p\.`(\w+)`\)", text):
            for row in rows:
                row["p"][name] = DateTime.from_iso_format(row["p"][name])
        if "CREATE (n" in text:
            first = len(self.nodes) + 1000
            self.nodes += [(first + place, [], kept(row["p"])) for place, row in enumerate(rows)]
            return [{"k": row["k"], "id": first + place} for place, row in enumerate(rows)]
        if "CREATE (a)" in text:
            made = rows[: len(rows) - self.lost]
            self.relationships += [("", row["a"], row["b"], kept(row["p"])) for row in made]
            return [{"count": len(made)}]
        known = {node for node, _, _ in self.nodes}
        return [{"id": row["id"]} for row in rows if row["id"] in known]


class Session:
    def __init__(self, server: MemgraphDouble, mode: str):
        self._server, self._mode = server, mode

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None: ...

    def run(self, query: Any, parameters: dict[str, Any] | None = None) -> Iterator[Record]:
        text, timeout = getattr(query, "text", query), getattr(query, "timeout", None)
        rows = (parameters or {}).get("rows", [])
        statement = Statement(text, "auto-commit", self._mode, timeout, len(rows))
        return (Record(row) for row in self._server.answer(statement, parameters or {}))

    def begin_transaction(self, *, timeout: float | None) -> Transaction:
        return Transaction(self._server, self._mode, timeout)


class Transaction:
    def __init__(self, server: MemgraphDouble, mode: str, timeout: float | None):
        self._server, self._mode, self._timeout = server, mode, timeout

    def __enter__(self) -> Transaction:
        return self

    def __exit__(self, *_: object) -> None: ...

    def run(self, query: str, *, rows: list[dict[str, Any]] | None = None) -> Iterator[Record]:
        statement = Statement(query, "transaction", self._mode, self._timeout, len(rows or []))
        return (Record(row) for row in self._server.answer(statement, {"rows": rows or []}))

    def commit(self) -> None: ...
    def close(self) -> None: ...
