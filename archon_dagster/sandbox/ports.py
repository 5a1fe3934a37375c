"""Loopback ports: the usual one where it is free, so that an operator finds things where he expects them."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on a port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what servers do: TIME_WAIT is no occupant
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def any_free(taken: Iterable[int] = ()) -> int:
    """A free port that is none of ``taken``."""
    avoid = set(taken)
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((LOOPBACK, 0))
            port = int(probe.getsockname()[1])
        if port not in avoid:
            return port


def choose(preferred: Iterable[int], taken: Iterable[int] = ()) -> int:
    """The first of ``preferred`` that is free and none of ``taken``, else any free one."""
    avoid = set(taken)
    for port in preferred:
        if port not in avoid and is_free(port):
            return port
    return any_free(avoid)
