"""Whether somebody asked this process to end, whoever holds the signal handlers; and a time when nobody may.

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


@contextmanager
def signals_held_back() -> Iterator[None]:
    """SIGINT and SIGTERM come when the block has ended: for imports, which an interrupt would leave half done.

    A module that is half imported, or an import lock that is never given back, is met by whoever cleans up. (Blocking
    the signals would not do: the kernel gives them to any other thread, and Python handles them in this one.)
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = list[int]()
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
