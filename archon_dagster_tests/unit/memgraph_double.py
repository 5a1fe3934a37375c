"""A double of the neo4j *driver* in front of what a real Memgraph 3.2.1 answered: not a graph database.

It answers ``SHOW`` statements from the recordings, refuses inside a transaction what the recordings say is refused
there, hands out prepared nodes and relationships, acknowledges writes, and keeps a log of every statement with the
kind of transaction it came in. It is for questions of order and of transaction kinds; whether the statements do what
they should is for real servers to tell.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from neo4j.exceptions import Neo4jError

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
    :param lost: how many of every batch of relationships are quietly not created.
    """

    shows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: dict(EMPTY))
    nodes: list[tuple[int, list[str], dict[str, Any]]] = field(default_factory=list)
    relationships: list[tuple[str, int, int, dict[str, Any]]] = field(default_factory=list)
    failures: dict[str, list[Exception]] = field(default_factory=dict)
    lost: int = 0
    log: list[Statement] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)
    closed: int = 0

    def open(self, endpoint: Any, deadline: float) -> MemgraphDouble:
        return self

    def session(self, *, database: str | None, default_access_mode: str = "WRITE", **_: Any) -> Session:
        return Session(self, default_access_mode)

    def get_server_info(self) -> Any:
        raise AssertionError("Memgraph is known by SHOW VERSION")

    def close(self) -> None:
        self.closed += 1

    # what the server does

    def answer(self, statement: Statement, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        self.log.append(statement)
        self._fail(statement)
        text = statement.text
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
        if "CREATE (n" in text:
            first = len(self.nodes) + 1000
            self.nodes += [(first + place, [], row["p"]) for place, row in enumerate(rows)]
            return [{"k": row["k"], "id": first + place} for place, row in enumerate(rows)]
        if "CREATE (a)" in text:
            made = rows[: len(rows) - self.lost]
            self.relationships += [("", row["a"], row["b"], row["p"]) for row in made]
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
