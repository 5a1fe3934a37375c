"""Read an archive the way a restore would: ``pg_restore`` turns it into SQL, and the SQL says what it contains.

It needs the program but no server, and it is the proof that ``pg_restore`` can read the archive to its end.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from archon_dagster.errors import StoreError
from archon_dagster.stores.base import Work
from archon_dagster.stores.relational.content import Content
from archon_dagster.stores.relational.programs import Programs
from archon_dagster.stores.relational.running import Program, running


class Inspection:
    """An archive being read; what has been written to it so far is being parsed meanwhile."""

    def __init__(self, program: Program):
        self._program, self._content = program, Content()
        self._error: BaseException | None = None
        self._reader = threading.Thread(target=self._read, name="read the archive's SQL", daemon=True)
        self._reader.start()

    def write(self, data: bytes) -> None:
        """The next bytes of the archive."""
        try:
            self._program.write(data)
        except StoreError as error:
            self._raise_own(error)

    def finish(self) -> Content:
        """After the last byte; raises :class:`StoreError` where ``pg_restore`` could not read the archive."""
        self._program.close_input()
        self._reader.join()
        self._raise_own(None)
        self._program.end()
        if not self._content.complete:
            raise self._program.failure("the archive's SQL has no end")
        return self._content

    def close(self) -> None:
        self._program.kill()
        self._reader.join()

    def _read(self) -> None:
        try:
            while data := self._program.read():
                self._content.feed(data)
        except BaseException as error:  # noqa: BLE001 - raised by the thread that writes
            self._error = error
            self._program.kill()

    def _raise_own(self, error: BaseException | None) -> None:
        """What went wrong while reading is the reason; that writing then fails is only its consequence."""
        if self._error is not None:
            raise self._error
        if error is not None:
            raise error


@contextmanager
def inspecting(programs: Programs, work: Work) -> Iterator[Inspection]:
    """An inspection; leaving the context ends its program."""
    with running(programs, work, "pg_restore", "--create", "--file=-", offline=True) as program:
        inspection = Inspection(program)
        try:
            yield inspection
        finally:
            inspection.close()
