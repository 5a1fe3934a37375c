"""An archive through ``pg_restore``, of which only a part is taken.

A thread puts the archive in. ``pg_restore`` stops reading once it has what it wants: that is no error.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from archon_dagster.errors import StoreError
from archon_dagster.repository.manifest import Artifact
from archon_dagster.stores.base import Progress, Source, Work
from archon_dagster.stores.relational.programs import Programs
from archon_dagster.stores.relational.restoring import feed
from archon_dagster.stores.relational.running import Program, running

_AS_WE_ARE = ("--no-owner", "--no-privileges", "--no-security-labels", "--no-publications", "--no-subscriptions")


class _Enough(Exception):
    """The program wants no more of the archive."""


@contextmanager
def _until_enough() -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        raise _Enough from error


class Unpacking:
    """A ``pg_restore`` at work on an archive; read its output, then :meth:`finish`."""

    def __init__(self, program: Program, source: Source, dump: Artifact, work: Work):
        self._program = program
        self._source, self._dump, self._work = source, dump, work
        self._error: BaseException | None = None
        self._feeder = threading.Thread(target=self._feed, name="put the archive in", daemon=True)
        self._feeder.start()

    def read(self) -> bytes:
        """What there is; empty at the end."""
        return self._program.read()

    def finish(self) -> None:
        """After the last byte; raises where the archive could not be read, or ``pg_restore`` says that it failed."""
        try:
            self._program.end()
        finally:
            self._feeder.join()
            if self._error is not None:
                raise self._error

    def close(self) -> None:
        self._program.kill()
        self._feeder.join()

    def _feed(self) -> None:
        try:
            progress = Progress("relational", "read", 0, self._dump.size)
            feed(self._source.open(self._dump), self._write, self._work, progress)
            self._close_input()
        except _Enough:
            pass
        except BaseException as error:  # noqa: BLE001 - raised by the thread that waits
            self._error = error
            self._program.kill()

    def _write(self, data: bytes) -> None:
        with _until_enough():
            self._program.write(data)

    def _close_input(self) -> None:
        with _until_enough():  # what was written last may not have been sent yet
            self._program.close_input()


@contextmanager
def unpacking(
    programs: Programs, source: Source, dump: Artifact, work: Work, *arguments: str, into: str = ""
) -> Iterator[Unpacking]:
    """``pg_restore`` with these arguments: into a database, or as SQL on its output.

    Owners, privileges and the like are left out: whoever restores owns what is made.
    """
    target = f"--dbname={into}" if into else "--file=-"
    with running(programs, work, "pg_restore", *_AS_WE_ARE, *arguments, target, offline=not into) as program:
        found = Unpacking(program, source, dump, work)
        try:
            yield found
        finally:
            found.close()
