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
from archon_dagster.sandbox.ports import LOOPBACK

_POLL = 0.05  # seconds
_LOG_LINES = 15


def wait_for_port(runtime: ProcessesRuntime, service: str, port: int, budget: float, check: Callable[[], None]) -> bool:
    """Wait until a service listens on its port; ``False`` when somebody else does.

    :param check: called all the time; raises when the wait is to be given up.
    :raises ServiceError: it ended, or did not listen in time, for a reason of its own.
    """
    end = time.monotonic() + budget
    while time.monotonic() < end:
        check()
        one = next(status for status in runtime.status() if status.service == service)
        if one.state == "running" and _listens(int(one.instance), port):
            return True
        if _somebody_listens(port) and not _listens(int(one.instance), port):
            return False
        if one.state == "exited":
            raise _failure(runtime, service, f"ended while starting (exit code {one.exit_code})")
        time.sleep(_POLL)
    raise _failure(runtime, service, f"does not listen on port {port} after {budget:g} s")


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
