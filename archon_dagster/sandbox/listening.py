"""Whether a port is held by the service it was chosen for.

Between choosing a free port and a server taking it, another program may be faster; and then a probe would be
answered well, by the wrong server.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import psutil

from archon_dagster.errors import ServiceError
from archon_dagster.platform.runtime.process_tree import tree
from archon_dagster.platform.runtime.processes import ProcessesRuntime
from archon_dagster.platform.runtime.protocol import ServiceStatus
from archon_dagster.sandbox.ports import LOOPBACK

_POLL = 0.05  # seconds
_LOOK_EVERY = 0.5  # seconds between two looks at the process, which cost more than a look at the port
_NOTED_WITHIN = 2.0  # seconds
_LOG_LINES = 15


def wait_for_port(runtime: ProcessesRuntime, service: str, port: int, budget: float, check: Callable[[], None]) -> bool:
    """Wait until a service listens on its port; ``False`` when somebody else does.

    :param check: called all the time; raises when the wait is to be given up.
    :raises ServiceError: it ended, or did not listen in time, for a reason of its own.
    """
    begin = looked = time.monotonic()
    while time.monotonic() < begin + budget:
        check()
        if _somebody_listens(port):
            return _listens(int(_status(runtime, service).instance), port)
        if time.monotonic() >= looked + _LOOK_EVERY:
            looked, one = time.monotonic(), _status(runtime, service)
            if one.state == "exited":
                raise _failure(runtime, service, f"ended while starting (exit code {_exit_code(runtime, service)})")
        time.sleep(_POLL)
    raise _failure(runtime, service, f"does not listen on port {port} after {budget:g} s")


def _status(runtime: ProcessesRuntime, service: str) -> ServiceStatus:
    return next(status for status in runtime.status() if status.service == service)


def _exit_code(runtime: ProcessesRuntime, service: str) -> int | None:
    """The exit code of a process that is gone; whoever sees its end writes that down a moment later."""
    end = time.monotonic() + _NOTED_WITHIN
    while (code := _status(runtime, service).exit_code) is None and time.monotonic() < end:
        time.sleep(_POLL)
    return code


def _failure(runtime: ProcessesRuntime, service: str, what: str) -> ServiceError:
    log = runtime.logs(service, _LOG_LINES)
    return ServiceError(f"{service} {what}\nlast log lines of {service}:\n{log or '(none)'}")


def _listens(pid: int, port: int) -> bool:
    for process in tree(pid):
        try:
            found = process.net_connections(kind="tcp")
        except psutil.Error:
            continue
        if any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in found):
            return True
    return False


def _somebody_listens(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0
