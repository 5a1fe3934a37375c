"""Whether somebody asked this process to end, whoever holds the signal handlers.

While Dagster executes a run in this process it keeps the signals back until a step begins, and forgets those that come
after the last one (``dagster._utils.interrupts.capture_interrupts``). The kernel's word is asked instead.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_ENDING = {signal.SIGINT, signal.SIGTERM}
_ENOUGH = 4096  # signals that are remembered


@contextmanager
def noted_signals() -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether SIGINT or SIGTERM has come since the block began, or since it was asked."""
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's business
        yield lambda: False
        return
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)

    def came() -> bool:
        try:
            return bool(_ENDING & set(reader.recv(_ENOUGH)))
        except BlockingIOError:
            return False

    try:
        yield came
    finally:
        signal.set_wakeup_fd(before)
        reader.close()
        writer.close()
