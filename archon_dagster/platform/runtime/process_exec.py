"""A command run inside a service of the processes runtime, with its streams."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Self, cast

from archon_dagster.errors import ServiceError

_TAIL_LINES = 200
_LINE_LIMIT = 4096  # bytes; a program that never ends its line must not fill the memory
_END_BUDGET = 10.0  # seconds a killed command may take to be gone


class ProcessExec:
    """See :class:`~archon_dagster.platform.runtime.protocol.Exec`."""

    def __init__(self, service: str, command: Sequence[str], env: Mapping[str, str], cwd: Path):
        self._what = f"{command[0]} in {service}"
        try:
            self._process = subprocess.Popen(
                list(command), env=dict(env), cwd=cwd, start_new_session=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
        except OSError as error:
            raise ServiceError(f"{self._what} could not be run: {error.strerror}", where=service) from error
        self.stdin: BinaryIO = cast(BinaryIO, self._process.stdin)
        self.stdout: BinaryIO = cast(BinaryIO, self._process.stdout)
        self._tail: deque[bytes] = deque(maxlen=_TAIL_LINES)
        # read all the time: a command whose error stream is full would stand still
        self._listener = threading.Thread(target=self._listen, name=f"stderr of {self._what}", daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        stream = cast(BinaryIO, self._process.stderr)
        while line := stream.readline(_LINE_LIMIT):
            self._tail.append(line)

    def wait(self, timeout: float) -> int:
        """Wait for the end; returns the exit code. Raises ``ServiceError`` when the time is up."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise ServiceError(
                f"{self._what} did not end within {timeout:g} s",
                tried=f"waiting; it last said: {self.stderr_tail().strip() or 'nothing'}",
            ) from error
        self._listener.join(1.0)
        return code

    def stderr_tail(self) -> str:
        """The last lines the command wrote to its standard error."""
        return b"".join(tuple(self._tail)).decode(errors="replace")

    def kill(self) -> None:
        """End the command and all it started, at once."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()
        self._process.wait(_END_BUDGET)
        self._listener.join(_END_BUDGET)
        for stream in (self.stdin, self.stdout, self._process.stderr):
            with suppress(BrokenPipeError):  # what was not sent has nobody to read it any more
                if stream is not None:
                    stream.close()
