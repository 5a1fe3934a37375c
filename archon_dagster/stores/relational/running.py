"""A program of PostgreSQL at work: its streams watched over, its exit code always looked at.

Reading from a pipe cannot be interrupted, so a watcher ends the program when the run is cancelled or when its server
is found to be frozen (:mod:`archon_dagster.stores.patience`); the pipe then ends and the reason is raised by whoever
was waiting. ``pg_restore`` says nothing while the server builds an index for an hour: that is work, and left alone.
Waiting until a client takes or sends something is no work: a session that does that shows a connection which trickles.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from archon_dagster.errors import ArchonError, ServiceError, StoreError, StoreUnavailable
from archon_dagster.platform.runtime.protocol import Exec
from archon_dagster.stores.base import Work
from archon_dagster.stores.patience import FLOOR, Ask, Life, Patience, Stretch, Wait
from archon_dagster.stores.relational.programs import Programs

BLOCK = 256 * 1024  # bytes
_POLL = 0.2  # seconds between two looks of the watcher
_LONGEST = 7 * 86_400.0  # seconds a program may take to end; the watcher ends one that does nothing much sooner
_WORKING = """SELECT count(*) FROM pg_stat_activity WHERE application_name = 'archon' AND pid <> pg_backend_pid()
AND state = 'active' AND coalesce(wait_event_type, '') NOT IN ('Lock', 'Client')"""
_UNREACHABLE = re.compile(
    r"could not connect|connection to server .* failed|Connection refused|the database system is|server closed the"
    r"|terminating connection|could not translate host|timeout expired|SSL SYSCALL|could not receive data"
)
_REFUSED = re.compile(
    r"password authentication failed|authentication failed for|no password supplied|no pg_hba\.conf entry"
    r"|FATAL: .*role \"?.* does not exist|is not permitted to log in"
)


def ask(programs: Programs, limit: float) -> Life:
    """Whether the server answers another connection, and whether a statement of ours is running there."""
    try:
        with programs.run("psql", "-qXAt", "--command", _WORKING, database="postgres") as psql:
            psql.stdin.close()
            code = psql.wait(limit)
            if code == 0:
                return "working" if psql.stdout.read().strip() not in (b"", b"0") else "answers"
            said = psql.stderr_tail()
    except (ServiceError, OSError):  # it did not end in time, or cannot even be started where the server runs
        return "silent"
    return "silent" if _UNREACHABLE.search(said) and "FATAL" not in said else "answers"


class Program:
    """A running program; one thread may write to it while another reads.

    :param ask: how to find out whether its server lives; ``None`` where it uses none.
    :param fed: its output comes from its input, so that it is silent by right while nothing is put in.
    """

    def __init__(self, process: Exec, name: str, where: str, work: Work, ask: Ask | None = None, *, fed: bool = False):
        self._process, self.name, self.where, self._work, self._fed = process, name, where, work, fed
        self._waits: dict[str, Wait] = {}
        self._input_closed: float | None = None
        self._stalled: str | None = None
        self._over = threading.Event()
        self._patience = Patience(work, ask)
        self._watcher = threading.Thread(target=self._watch, name=f"watch {name}", daemon=True)
        self._watcher.start()

    def read(self, size: int = BLOCK) -> bytes:
        """What there is, at most ``size`` bytes; empty at the end of the output."""
        with self._waiting("output") as wait:
            data: bytes = getattr(self._process.stdout, "read1", self._process.stdout.read)(size)
            self._came(wait, len(data))
        if not data:
            self._raise_if_ended()
        return data

    def readline(self) -> bytes:
        with self._waiting("output"):
            line = self._process.stdout.readline()
        if not line:
            self._raise_if_ended()
        return line

    def write(self, data: bytes) -> None:
        """Send everything; raises what the program died of when it no longer listens."""
        try:
            with self._waiting("input") as wait:
                self._process.stdin.write(data)
                self._came(wait, len(data))
        except OSError as error:
            self._raise_if_ended()
            raise self.failure("it stopped reading") from error

    def flush(self) -> None:
        try:
            with self._waiting("input"):
                self._process.stdin.flush()
        except OSError as error:
            self._raise_if_ended()
            raise self.failure("it stopped reading") from error

    def close_input(self) -> None:
        try:
            with self._waiting("input"):
                self._process.stdin.close()
                self._input_closed = time.monotonic()
        except OSError as error:
            self._raise_if_ended()
            raise self.failure("it stopped reading") from error

    def end(self) -> None:
        """Wait for the end; raises :class:`StoreError` with the program's last words unless it succeeded."""
        with self._waiting("end"):
            code = self._exit_code()
        self._raise_if_ended()
        if code != 0:
            raise self.failure(f"it ended with exit code {code}")

    def kill(self) -> None:
        self._process.kill()

    def failure(self, what: str) -> StoreError:
        """The error that says what the program did, with the end of its error output."""
        said = self._process.stderr_tail().strip()[-1500:]
        message = f"{self.name} failed: {what}" + (f"; it said: {said}" if said else "")
        if _REFUSED.search(said):
            todo = "check the user and the password in POSTGRES_DSN, or POSTGRES_USER and POSTGRES_PASSWORD"
            return StoreError(message, where=self.where, todo=todo)
        return (StoreUnavailable if _UNREACHABLE.search(said) else StoreError)(message, where=self.where)

    def close(self) -> None:
        self._over.set()
        self._watcher.join()

    def _exit_code(self) -> int:
        try:
            return self._process.wait(_LONGEST)
        except ServiceError as error:
            raise StoreUnavailable(f"{self.name} did not end: {error}", where=self.where) from error

    @contextmanager
    def _waiting(self, what: str) -> Iterator[Wait]:
        wait = self._waits.setdefault(what, Wait())
        wait.began()
        try:
            yield wait
        finally:
            wait.ended()

    def _came(self, wait: Wait, size: int) -> None:
        """Bytes have moved; those of a program without a server come as slowly as they are put in."""
        wait.ended(FLOOR if self._fed else size)

    def _watch(self) -> None:
        while not self._over.wait(_POLL):
            stretch = self._stretch()
            if stretch is not None and (ended := self._patience.ended(stretch)):
                how = "was too slow" if self._patience.trickles(stretch) else "stood still"
                self._stalled = f"{how} and was ended: {ended}"
            if self._stalled is not None or self._work.cancel.is_set():
                self._process.kill()
                return

    def _stretch(self) -> Stretch | None:
        """The wait that has lasted longest."""
        waits = {what: wait.stretch for what, wait in list(self._waits.items())}
        output, closed = waits.get("output"), self._input_closed
        if self._fed and output is not None:
            waits["output"] = None if closed is None else Stretch(max(output.since, closed))
        return min((stretch for stretch in waits.values() if stretch is not None), default=None)

    def _raise_if_ended(self) -> None:
        self._work.check()
        if self._stalled is not None:
            raise StoreUnavailable(
                f"{self.name} {self._stalled}",
                where=self.where,
                todo="look whether the server is frozen (paused, swapping) or the network to it is down or slow, at "
                "its log and its locks (pg_locks, pg_stat_activity), and run this again; if it only needs longer, "
                "raise ARCHON_STORE_SILENCE and ARCHON_STORE_DEADLINE",
            )


@contextmanager
def running(
    programs: Programs, work: Work, program: str, *arguments: str, database: str | None = None, offline: bool = False
) -> Iterator[Program]:
    """A program of PostgreSQL, ended when the context is left; call :meth:`Program.end` to know that it succeeded.

    :param offline: it turns its input into its output and talks to no server.
    """
    work.check()
    with _start(programs, program, arguments, database) as process:
        question = None if offline else partial(ask, programs)
        started = Program(process, program, programs.address, work, question, fed=offline)
        try:
            yield started
        finally:
            process.kill()
            started.close()


def _start(programs: Programs, program: str, arguments: tuple[str, ...], database: str | None) -> Exec:
    try:
        return programs.run(program, *arguments, database=database)
    except ServiceError as error:
        raise StoreUnavailable(f"{program} could not be run: {error}", where=programs.address) from error


def output_of(programs: Programs, work: Work, program: str, *arguments: str, database: str | None = None) -> bytes:
    """The whole, small output of a program that gets no input."""
    with running(programs, work, program, *arguments, database=database) as started:
        started.close_input()
        blocks = list(iter(started.read, b""))
        started.end()
    return b"".join(blocks)


def first_line(error: ArchonError) -> str:
    """An error in one line, for a verdict."""
    return str(error).splitlines()[0]
