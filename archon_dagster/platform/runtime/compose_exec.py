"""A command run inside a container, with its streams.

``docker exec`` by the command line, because the Docker SDK and ``docker compose exec`` offer no pair of streams whose
ends can be told apart. Values of variables are in the environment of the command line, never in its arguments, which
everybody on the machine can see. Ending ``docker exec`` leaves the command in the container running, so the command
first says its process number there, and that one is ended.
"""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

from archon_dagster.platform.runtime.compose_project import environment
from archon_dagster.platform.runtime.process_exec import ProcessExec

_SAY_NUMBER = 'echo "archon-exec $$" >&2; exec "$@"'
_NUMBER = re.compile(rb"archon-exec (\d+)\s*\Z")
_LINE_LIMIT = 4096  # bytes
_NUMBER_BUDGET = 5.0  # seconds a command that is to be ended may still take to say its number
_KILL_BUDGET = 10.0  # seconds
_END_GROUP = 'kill -9 -"$1" 2>/dev/null || kill -9 "$1"'


class ContainerExec(ProcessExec):
    """See :class:`~archon_dagster.platform.runtime.protocol.Exec`.

    :param container: the id of a running container; it needs a shell.
    :param env: variables of the command, on top of the container's own.
    """

    def __init__(self, service: str, container: str, command: Sequence[str], env: Mapping[str, str]):
        self._container = container
        self._number = 0
        self._said_number = threading.Event()
        names = [part for name in env for part in ("--env", name)]
        line = ["docker", "exec", "--interactive", *names, container, "sh", "-c", _SAY_NUMBER, "sh", *command]
        super().__init__(service, line, environment() | dict(env), Path("/"))
        self._what = f"{command[0]} in {service}"

    def _listen(self) -> None:
        first = cast(BinaryIO, self._process.stderr).readline(_LINE_LIMIT)
        if match := _NUMBER.match(first):
            self._number = int(match[1])
        elif first:
            self._tail.append(first)
        self._said_number.set()
        super()._listen()

    def kill(self) -> None:
        """End the command and all it started, at once."""
        if self._process.poll() is None and self._said_number.wait(_NUMBER_BUDGET) and self._number:
            line = ["docker", "exec", self._container, "sh", "-c", _END_GROUP, "sh", str(self._number)]
            # a container that is frozen or gone takes no command; then ending our side is all that can be done
            with suppress(subprocess.TimeoutExpired):
                subprocess.run(
                    line, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, check=False,
                    timeout=_KILL_BUDGET)  # fmt: skip
        super().kill()
