"""Keep Dagster's programs running under `archon up`: notice that one has died, say why, start it again.

An operator wants the webserver back when it crashes, and wants to know when it keeps crashing: after
:data:`RESTARTS` restarts within :data:`WINDOW` seconds it is given up, with its last words.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from archon_dagster.errors import ServiceError

RESTARTS = 3
WINDOW = 600.0  # seconds
PAUSE = 1.0  # seconds before a restart; doubled each time
LOOK_EVERY = 0.5  # seconds
END_LIMIT = 60.0  # seconds a program may take to stop: the tether kills it after 45
TAIL = 5  # lines
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Program:
    """A Python program that ends with this process however that ends, and is started again when it dies alone.

    :param arguments: what follows ``python``.
    :param ready: waits until a fresh process works; raises :class:`ServiceError` where it does not.
    """

    name: str
    log: Path
    arguments: list[str]
    ready: Callable[[subprocess.Popen[bytes]], None]
    restarts: list[float] = field(default_factory=list)
    _process: subprocess.Popen[bytes] | None = None
    _child: psutil.Process | None = None
    _begins: int = 0  # where in the log the present process begins
    _left: list[psutil.Process] = field(default_factory=list)  # by children that were killed

    def __enter__(self) -> Program:
        self._start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._end()
        end_orphans(self._left)

    def wait_until_ready(self) -> None:
        """Wait for the first start, which is not tried again: what is wrong then stays wrong."""
        assert self._process is not None
        self.ready(self._process)
        self._find_child()

    def look(self, tell: Callable[[str], None]) -> None:
        """Start it again where it has died; returns when it works.

        :raises ServiceError: it has died too often.
        """
        assert self._process is not None
        if self._process.poll() is None:
            self._find_child()
            return
        why = f"the {self.name} has ended: {_how(self._process.returncode)}"
        while why:
            self._count(why)
            tell(f"{why}\n{self._last_words()}\nstarting it again ({len(self.restarts)} of {RESTARTS})")
            self._end()
            time.sleep(PAUSE * 2 ** (len(self.restarts) - 1))
            why = self._try()
        tell(f"the {self.name} works again")

    def _try(self) -> str:
        """Start it; returns why it does not work, or nothing."""
        process = self._start()
        try:
            self.ready(process)
        except ServiceError as error:
            return f"the {self.name} did not come back: {error.what}"
        self._find_child()
        return ""

    def _count(self, why: str) -> None:
        now = time.monotonic()
        self.restarts = [then for then in self.restarts if now - then < WINDOW]
        if len(self.restarts) >= RESTARTS:
            raise ServiceError(
                f"{why}, and it has been started again {RESTARTS} times within {WINDOW / 60:g} minutes already\n"
                f"last log lines of the {self.name}:\n{self._last_words()}",
                todo=f"everything is stopped now; read {self.log}, then: archon up",
            )
        self.restarts.append(now)

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "archon_dagster.cli.tether", sys.executable, *self.arguments]
        with self.log.open("ab") as output:
            self._begins = output.tell()
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
            )
        return self._process

    def _end(self) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(END_LIMIT)
        if self._child is not None:
            end_orphan(self._child)  # somebody killed the tether instead of the program
            self._left += members(self._child.pid)
        self._process = self._child = None

    def _last_words(self) -> str:
        return tail(self.log, since=self._begins)

    def _find_child(self) -> None:
        if self._child is None and self._process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                self._child = next(iter(psutil.Process(self._process.pid).children()), None)


def end_orphan(process: psutil.Process, limit: float = 15.0) -> None:
    """End a process that has lost its tether; nothing to do where it has gone too."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.terminate()
        try:
            process.wait(limit)
        except psutil.TimeoutExpired:
            process.kill()


def members(leader: int) -> list[psutil.Process]:
    """The processes of a session whose leader has just died: a code server, and the runs it has begun."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(process.pid) == leader:
                found.append(process)
    return found


def end_orphans(processes: Iterable[psutil.Process]) -> None:
    """End what killed programs have left, which works on as long as the others do: runs are not cut off before."""
    left = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            left += [process, *process.children(recursive=True)]
    for number, grace in ((signal.SIGTERM, END_LIMIT), (signal.SIGKILL, 5.0)):
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        _, left = psutil.wait_procs(left, grace)


def keep_running(programs: Iterable[Program], tell: Callable[[str], None]) -> None:
    """Watch the programs until one of them is beyond help, or an interrupt comes."""
    programs = list(programs)
    while True:
        for program in programs:
            program.look(tell)
        time.sleep(LOOK_EVERY)


def tail(log: Path, lines: int = TAIL, since: int = 0) -> str:
    """The last lines of a log, indented and without colours; only those after the first ``since`` bytes."""
    written = log.read_bytes()[since:].decode(errors="replace")
    last = _COLOUR.sub("", written).splitlines()[-lines:]
    return "\n".join(f"    {line}" for line in last) or "    (it said nothing)"


def _how(code: int) -> str:
    """An exit code of the tether in words."""
    number = -code if code < 0 else code - 128  # of the tether itself, or passed on by it
    try:
        return f"killed by {signal.Signals(number).name}" if number > 0 else f"exit code {code}"
    except ValueError:
        return f"exit code {code}"
