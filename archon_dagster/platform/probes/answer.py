"""What a probe comes back with."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service said to one probe.

    :param ok: it is well.
    :param text: what it said, in a few words.
    :param seconds: how long it took.
    :param reached: it accepted the connection; what refuses or does not exist is not reached, what hangs is.
    :param degraded: it says of itself that it works only in part.
    """

    ok: bool
    text: str
    seconds: float
    reached: bool = True
    degraded: bool = False


class Unwell(Exception):
    """The service answered, and the answer is bad; ends one probe and never leaves this package.

    :param degraded: the service says so itself, and works in part.
    """

    def __init__(self, text: str, *, degraded: bool = False) -> None:
        super().__init__(text)
        self.degraded = degraded


class Unreached(OSError):
    """There was no connection; ends one probe and never leaves this package."""


FAILURES = (OSError, httpx.HTTPError, httpx.InvalidURL, ValueError)
"""What a probe may end with besides :class:`Unwell`."""


def in_words(error: Exception, timeout: float) -> str:
    """A failure as one line."""
    cause = error.__cause__ if isinstance(error, Unreached) and isinstance(error.__cause__, Exception) else error
    if isinstance(cause, (TimeoutError, httpx.TimeoutException)):
        return f"no answer within {timeout:g} s"
    if os.strerror(errno.ECONNREFUSED) in str(cause):
        return "nothing listens there: connection refused"
    return f"{type(cause).__name__}: {cause}".splitlines()[0][:300]


def was_reached(error: Exception) -> bool:
    """Whether there was a connection before this went wrong."""
    return not isinstance(error, (Unreached, httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol))


@contextmanager
def connected(endpoint: tuple[str, int], timeout: float) -> Iterator[socket.socket]:
    """A TCP connection whose every operation has the time limit."""
    try:
        connection = socket.create_connection(endpoint, timeout)
    except OSError as error:
        raise Unreached(str(error)) from error
    with connection:
        connection.settimeout(timeout)
        yield connection
