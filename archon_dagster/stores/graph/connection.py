"""One Bolt connection's worth of manners: deadlines, cancellation, retries, and errors an operator can act on.

The driver waits for an answer for ever, and a managed transaction retries what Memgraph calls transient, which is
often permanent. So nothing here uses managed transactions; a conflict is told by its text; and a watchdog closes the
driver, which wakes whoever waits in it, when the server is found to be frozen or the run was cancelled.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypeVar

from archon_dagster.errors import Cancelled, StoreError, StoreUnavailable
from archon_dagster.stores.base import Work
from archon_dagster.stores.graph.driver import CONNECT_TIMEOUT, Endpoint, OpenDriver, ask
from archon_dagster.stores.graph.values import weight
from archon_dagster.stores.patience import Patience, Wait

T = TypeVar("T")
Row = tuple[Any, ...]
CANCEL_GRACE = 1.0  # seconds a cancelled run may still wait for one answer
RETRY_BUDGET = 60.0  # seconds one statement may be repeated after conflicts
FETCH = 2000  # rows the driver asks for at a time


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
        """The rows as they arrive; memory stays bounded by the driver's fetch size.

        What whoever takes the rows does with them is not the server's silence.
        """
        with self._bolt.answering(operation) as wait:
            for number, record in enumerate(self._transaction.run(query)):
                row = self._bolt.values(record)
                wait.ended(weight(row) if wait.slow else 0)
                if number % 500 == 0:
                    self._bolt.work.check()
                yield row
                wait.began()

    def rows(self, query: str, operation: str) -> list[Row]:
        return list(self.stream(query, operation))


class _Greeting(threading.Thread):
    """The first connection being made; the driver keeps it for what comes next.

    It runs in a thread of its own because closing a driver does not wake who waits for a greeting in it.
    """

    def __init__(self, driver: Any):
        super().__init__(name="bolt-greeting", daemon=True)
        self._driver = driver
        self.error: Exception | None = None
        self.abandoned = False

    def run(self) -> None:
        try:
            self._driver.verify_connectivity()
        except Exception as error:  # noqa: BLE001 - raised by the thread that waits
            self.error = error
        finally:
            if self.abandoned:
                self._driver.close()


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
        self._wait = Wait()
        self._gave_up: str | None = None
        self._how = "fell silent"
        self._closing = threading.Event()
        self._watchdog = threading.Thread(target=self._watch, name="bolt-watchdog", daemon=True)

    def __enter__(self) -> Bolt:
        self._driver = self._open_driver(self.endpoint, self._connect_limit)
        self._greet()
        self._watchdog.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._watchdog.join()
        self._driver.close()

    def _greet(self) -> None:
        greeting = _Greeting(self._driver)
        greeting.start()
        try:
            while greeting.is_alive():
                self.work.check()
                greeting.join(0.1)
            with self.answering("connect"):
                if greeting.error is not None:
                    raise greeting.error
        except BaseException:
            greeting.abandoned = True
            if not greeting.is_alive():
                self._driver.close()
            raise

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

    @contextmanager
    def answering(self, operation: str) -> Iterator[Wait]:
        """Whatever is done inside is watched over, and fails as one of our errors."""
        from neo4j.exceptions import DriverError, Neo4jError

        self._wait.began(anew=True)
        try:
            yield self._wait
        except Neo4jError as error:
            raise self._refused(operation, error) from error
        except (DriverError, OSError) as error:
            raise self._silent(operation, error) from error
        finally:
            self._wait.ended()

    @property
    def _connect_limit(self) -> float:
        return min(CONNECT_TIMEOUT, self.work.silence, self.work.deadline)

    def _watch(self) -> None:
        patience = Patience(self.work, lambda limit: ask(self.endpoint, self._open_driver, limit))
        while not self._closing.wait(0.2):
            stretch = self._wait.stretch
            if stretch is None:
                continue
            if self.work.cancel.is_set() and time.monotonic() - stretch.since > CANCEL_GRACE:
                self._gave_up = "cancelled"
            else:
                self._gave_up = patience.ended(stretch)
                self._how = "is too slow" if patience.trickles(stretch) else "fell silent"
            if self._gave_up is not None:
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
        elif "Check the server log" in text:  # in production mode it keeps its reasons to itself
            todo = "its log says why; the first thing to look at is the free space on its volume"
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
        if self._gave_up is None:
            return StoreUnavailable(
                f"the graph server is gone while trying to {operation}: {' '.join(str(error).split())}",
                where=self.endpoint.address,
                tried=str(self.done) or f"waited at most {self._connect_limit:g} s for a greeting",
                todo=f"start it, or restart it if it is frozen (service memgraph), and run this again{hint}",
            )
        return StoreUnavailable(
            f"the graph server {self._how} while trying to {operation}: {self._gave_up}",
            where=self.endpoint.address,
            tried=str(self.done) or None,
            todo="look whether it is frozen (paused, swapping) or the network to it is down or slow, restart it "
            "(service memgraph) and run this again; if it only needs longer, raise ARCHON_STORE_SILENCE and "
            "ARCHON_STORE_DEADLINE",
        )
