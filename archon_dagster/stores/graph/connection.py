"""One Bolt connection's worth of manners: deadlines, cancellation, retries, and errors an operator can act on.

The driver waits for an answer for ever, and a managed transaction retries what Memgraph calls transient, which is
often permanent. So nothing here uses managed transactions; a conflict is told by its text; and a watchdog closes the
driver, which wakes whoever waits in it, when an answer is overdue or the run was cancelled.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from archon_dagster.errors import Cancelled, ConfigurationError, StoreError, StoreUnavailable
from archon_dagster.stores.base import Work

T = TypeVar("T")
Row = tuple[Any, ...]
SCHEMES = ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc")
CONNECT_TIMEOUT = 10.0  # seconds
IDLE = 300.0  # seconds a connection may lie idle unquestioned; Memgraph closes them after half an hour
CANCEL_GRACE = 1.0  # seconds a cancelled run may still wait for one answer
RETRY_BUDGET = 60.0  # seconds one statement may be repeated after conflicts
FETCH = 2000  # rows the driver asks for at a time


@dataclass(frozen=True)
class Endpoint:
    """Where the graph is and how to log in; no credential ever shows."""

    uri: str = field(repr=False)
    user: str = ""
    password: str = field(default="", repr=False)
    database: str | None = None

    @property
    def address(self) -> str:
        """The URI without anything that could be a credential."""
        parts = urlsplit(self.uri)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


OpenDriver = Callable[[Endpoint, float], Any]


def open_driver(endpoint: Endpoint, deadline: float) -> Any:
    """A driver for the endpoint; nothing is contacted yet.

    :param deadline: seconds; connecting, greeting and logging in take no longer.
    """
    import neo4j
    from neo4j.exceptions import ConfigurationError as DriverConfigurationError

    if urlsplit(endpoint.uri).scheme not in SCHEMES:
        raise ConfigurationError(
            f"{endpoint.address!r} is not a Bolt address", where="MEMGRAPH_URI", todo="use bolt://host:7687"
        )
    try:
        return neo4j.GraphDatabase.driver(
            endpoint.uri,
            auth=(endpoint.user, endpoint.password) if endpoint.user or endpoint.password else None,
            connection_timeout=min(CONNECT_TIMEOUT, deadline),
            connection_acquisition_timeout=min(CONNECT_TIMEOUT, deadline),
            liveness_check_timeout=IDLE,
            notifications_min_severity="OFF",
            telemetry_disabled=True,
            user_agent="archon",
        )
    except (DriverConfigurationError, ValueError) as error:
        raise ConfigurationError(f"the driver refuses {endpoint.address!r}: {error}", where="MEMGRAPH_URI") from error


class QueryRefused(StoreError):
    """The server answered, and the answer is no; carries the server's own code and text."""

    def __init__(self, what: str, *, where: str, tried: str | None, todo: str | None, code: str, text: str):
        super().__init__(what, where=where, tried=tried, todo=todo)
        self.code, self.text = code, text

    @property
    def not_understood(self) -> bool:
        """Whether the server does not know such a statement (a parse error)."""
        return "parsing error" in self.text or "wrong token" in self.text or "Syntax" in self.code


class Reader:
    """An open read transaction."""

    def __init__(self, bolt: Bolt, transaction: Any):
        self._bolt, self._transaction = bolt, transaction

    def stream(self, query: str, operation: str) -> Iterator[Row]:
        """The rows as they arrive; memory stays bounded by the driver's fetch size."""
        with self._bolt.answering(operation):
            for number, record in enumerate(self._transaction.run(query)):
                if number % 500 == 0:
                    self._bolt.alive()
                yield self._bolt.values(record)

    def rows(self, query: str, operation: str) -> list[Row]:
        return list(self.stream(query, operation))


class Bolt:
    """A driver that is always closed, used as a context manager by one thread.

    :ivar conflicts: texts of errors that go away by themselves; set by the dialect once it is known.
    :ivar unlimited: whether the server understands ``timeout=0`` (it would otherwise end long transactions).
    :ivar done: how far the operation has come (anything with a readable ``str``), for the error message.
    """

    def __init__(self, endpoint: Endpoint, work: Work, open_driver: OpenDriver):
        self.endpoint, self.work, self._open_driver = endpoint, work, open_driver
        self.conflicts: tuple[str, ...] = ()
        self.unlimited = False
        self.done: object = ""
        self._driver: Any = None
        self._waiting_since: float | None = None
        self._gave_up: str | None = None
        self._closing = threading.Event()
        self._watchdog = threading.Thread(target=self._watch, name="bolt-watchdog", daemon=True)

    def __enter__(self) -> Bolt:
        self._driver = self._open_driver(self.endpoint, self.work.deadline)
        self._watchdog.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._watchdog.join()
        self._driver.close()

    # asking --------------------------------------------------------------------------------------------------------

    def agent(self) -> str:
        """What the server calls itself; on Memgraph an operator's setting, so not proof of anything."""
        with self.answering("ask for the server's name"):
            return str(self._driver.get_server_info().agent)

    def rows(self, query: str, operation: str, **parameters: Any) -> list[Row]:
        """Run one statement by itself (auto-commit, as schema statements need it); conflicts are retried."""
        return self._retrying(lambda: self._rows_once(query, operation, parameters))

    def table(self, query: str, operation: str) -> list[dict[str, Any]]:
        """As :meth:`rows`, by column name: versions differ in the columns they have."""

        def ask() -> list[dict[str, Any]]:
            with self.answering(operation), self._session() as session:
                return [record.data() for record in session.run(query)]

        return self._retrying(ask)

    def _rows_once(self, query: str, operation: str, parameters: dict[str, Any]) -> list[Row]:
        import neo4j

        text = neo4j.Query(query, timeout=0) if self.unlimited else neo4j.Query(query)
        with self.answering(operation), self._session() as session:
            return [self.values(record) for record in session.run(text, parameters)]

    @contextmanager
    def reading(self, operation: str) -> Iterator[Reader]:
        """One explicit read transaction: as much of a snapshot as the server gives."""
        import neo4j

        with self._session(default_access_mode=neo4j.READ_ACCESS, fetch_size=FETCH) as session:
            with self.answering(operation):
                transaction = session.begin_transaction(timeout=0 if self.unlimited else None)
            try:
                yield Reader(self, transaction)
            finally:
                with self.answering(operation):
                    transaction.close()

    def write(self, operation: str, statements: Sequence[tuple[str, list[dict[str, Any]]]]) -> list[list[Row]]:
        """Run statements, each over its ``$rows``, in one transaction; all or none, and again after a conflict."""

        def once() -> list[list[Row]]:
            with self.answering(operation), self._session() as session:
                with session.begin_transaction(timeout=0 if self.unlimited else None) as transaction:
                    answers = [[self.values(r) for r in transaction.run(text, rows=rows)] for text, rows in statements]
                    transaction.commit()
                return answers

        return self._retrying(once)

    def values(self, record: Any) -> Row:
        """A record's values; one the driver cannot build (an unknown time zone) is named by the row's first value."""
        from neo4j.exceptions import BrokenRecordError

        try:
            return tuple(record.values())
        except BrokenRecordError as error:
            raise StoreError(
                f"a value in the row of {record[0]!r} cannot be read: {error.__cause__ or error}",
                where=self.endpoint.address,
                todo="a time zone this machine does not know? change that value, or update pytz",
            ) from error

    def _session(self, **options: Any) -> Any:
        return self._driver.session(database=self.endpoint.database, **options)

    def _retrying(self, attempt: Callable[[], T]) -> T:
        deadline, delay = time.monotonic() + RETRY_BUDGET, 0.05
        while True:
            self.work.check()
            try:
                return attempt()
            except QueryRefused as error:
                said = f"{error.code} {error.text}"
                if not any(text in said for text in self.conflicts) or time.monotonic() + delay > deadline:
                    raise
            self.work.cancel.wait(delay)
            delay = min(delay * 2, 5.0)

    # waiting -------------------------------------------------------------------------------------------------------

    def alive(self) -> None:
        """The server has just said something; also the place where a cancelled run stops."""
        self._waiting_since = time.monotonic()
        self.work.check()

    @contextmanager
    def answering(self, operation: str) -> Iterator[None]:
        """Whatever is done inside has a deadline and fails as one of our errors."""
        from neo4j.exceptions import DriverError, Neo4jError

        self._waiting_since = time.monotonic()
        try:
            yield
        except Neo4jError as error:
            raise self._refused(operation, error) from error
        except (DriverError, OSError) as error:
            raise self._silent(operation, error) from error
        finally:
            self._waiting_since = None

    def _watch(self) -> None:
        while not self._closing.wait(0.2):
            since = self._waiting_since
            if since is None:
                continue
            waited = time.monotonic() - since
            if self.work.cancel.is_set() and waited > CANCEL_GRACE:
                self._gave_up = "cancelled"
            elif waited > self.work.deadline:
                self._gave_up = f"no answer for {self.work.deadline:.0f} s"
            else:
                continue
            self._driver.close()
            return

    def _refused(self, operation: str, error: Any) -> StoreError:
        text, code = str(error.message or error), str(error.code or "")
        todo = None
        if "Security" in code or "Unauthorized" in code:
            todo = "check MEMGRAPH_USER and MEMGRAPH_PASSWORD"
        elif "transaction timeout" in text:
            todo = "the server's query.timeout ended the transaction; raise it"
        elif "Cannot get" in text and "access" in text:
            todo = "another transaction stays open; end it (SHOW TRANSACTIONS names it)"
        return QueryRefused(
            f"the graph server refused to {operation}: {text}",
            where=self.endpoint.address,
            tried=str(self.done) or None,
            todo=todo,
            code=code,
            text=text,
        )

    def _silent(self, operation: str, error: BaseException) -> Exception:
        if self._gave_up == "cancelled":
            return Cancelled("cancelled on request", where=self.endpoint.address, tried=str(self.done) or None)
        hint = " (Memgraph has no routing: use bolt://)" if self.endpoint.uri.startswith("neo4j") else ""
        return StoreUnavailable(
            f"the graph server is gone while trying to {operation}: {self._gave_up or error}",
            where=self.endpoint.address,
            tried=str(self.done) or None,
            todo=f"start it (service memgraph) and run this again{hint}",
        )
