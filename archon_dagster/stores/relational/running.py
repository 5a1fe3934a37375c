"""A program of PostgreSQL at work: its streams with a deadline, its exit code always looked at.

Reading from a pipe cannot be interrupted, so a watcher ends the program when the run is cancelled or when one single
wait lasts longer than the deadline; the pipe then ends and the reason is raised by whoever was waiting.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from archon_dagster.errors import ArchonError, ServiceError, StoreError, StoreUnavailable
from archon_dagster.platform.runtime.protocol import Exec
from archon_dagster.stores.base import Work
from archon_dagster.stores.relational.programs import Programs

BLOCK = 256 * 1024  # bytes
_POLL = 0.2  # seconds between two looks of the watcher
_UNREACHABLE = re.compile(
    r"could not connect|connection to server .* failed|Connection refused|the database system is|server closed the"
    r"|terminating connection|could not translate host|timeout expired|SSL SYSCALL|could not receive data"
)


class Program:
    """A running program; safe to read and to write from two threads."""

    def __init__(self, process: Exec, name: str, where: str, work: Work):
        self._process, self.name, self.where, self._work = process, name, where, work
        self._waits: dict[int, float] = {}
        self._stalled = False
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name=f"watch {name}", daemon=True)
        self._watcher.start()

    def read(self, size: int = BLOCK) -> bytes:
        """What there is, at most ``size`` bytes; empty at the end of the output."""
        with self._waiting():
            data: bytes = getattr(self._process.stdout, "read1", self._process.stdout.read)(size)
        if not data:
            self._raise_if_ended()
        return data

    def readline(self) -> bytes:
        with self._waiting():
            line = self._process.stdout.readline()
        if not line:
            self._raise_if_ended()
        return line

    def write(self, data: bytes) -> None:
        """Send everything; raises what the program died of when it no longer listens."""
        try:
            with self._waiting():
                self._process.stdin.write(data)
        except OSError as error:
            self._raise_if_ended()
            raise self.failure("it stopped reading") from error

    def flush(self) -> None:
        try:
            with self._waiting():
                self._process.stdin.flush()
        except OSError as error:
            self._raise_if_ended()
            raise self.failure("it stopped reading") from error

    def close_input(self) -> None:
        try:
            with self._waiting():
                self._process.stdin.close()
        except OSError as error:
            self._raise_if_ended()
            raise self.failure("it stopped reading") from error

    def end(self) -> None:
        """Wait for the end; raises :class:`StoreError` with the program's last words unless it succeeded."""
        with self._waiting():
            code = self._exit_code()
        self._raise_if_ended()
        if code != 0:
            raise self.failure(f"it ended with exit code {code}")

    def kill(self) -> None:
        self._process.kill()

    def failure(self, what: str) -> StoreError:
        """The error that says what the program did, with the end of its error output."""
        said = self._process.stderr_tail().strip()[-1500:]
        kind = StoreUnavailable if _UNREACHABLE.search(said) else StoreError
        return kind(f"{self.name} failed: {what}" + (f"; it said: {said}" if said else ""), where=self.where)

    def close(self) -> None:
        self._over.set()
        self._watcher.join()

    def _exit_code(self) -> int:
        try:
            return self._process.wait(self._work.deadline)
        except ServiceError as error:
            raise StoreUnavailable(f"{self.name} did not end: {error}", where=self.where) from error

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        me = threading.get_ident()
        self._waits[me] = time.monotonic()
        try:
            yield
        finally:
            self._waits.pop(me, None)

    def _watch(self) -> None:
        while not self._over.wait(_POLL):
            oldest = min(tuple(self._waits.values()), default=None)
            self._stalled = oldest is not None and time.monotonic() - oldest > self._work.deadline
            if self._stalled or self._work.cancel.is_set():
                self._process.kill()
                return

    def _raise_if_ended(self) -> None:
        self._work.check()
        if self._stalled:
            raise StoreUnavailable(
                f"{self.name} did nothing for {self._work.deadline:g} s and was ended",
                where=self.where,
                todo="look for locks (pg_locks, pg_stat_activity) and at the server's log",
            )


@contextmanager
def running(
    programs: Programs, work: Work, program: str, *arguments: str, database: str | None = None
) -> Iterator[Program]:
    """A program of PostgreSQL, ended when the context is left; call :meth:`Program.end` to know that it succeeded."""
    work.check()
    with _start(programs, program, arguments, database) as process:
        started = Program(process, program, programs.address, work)
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
