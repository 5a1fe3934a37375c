"""An interrupt is seen at once, cleans up, and a second one does not spoil it."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import SimpleNamespace

import pytest

from archon_dagster.cancelling import run_cancellable


def test_a_result_and_an_error_come_through() -> None:
    cancel = threading.Event()
    assert run_cancellable(lambda: 7, cancel, cleanup_limit=1) == 7
    with pytest.raises(ZeroDivisionError):
        run_cancellable(lambda: 1 // 0, cancel, cleanup_limit=1)


@pytest.mark.parametrize("interrupts", [0, 3])
def test_an_interrupt_waits_for_the_clean_up(interrupts: int) -> None:
    cancel, cleaned = threading.Event(), threading.Event()

    def work() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        assert cancel.wait(10)
        for _ in range(interrupts):
            threading.Event().wait(0.5)  # a clean-up takes longer than a moment
            os.kill(os.getpid(), signal.SIGINT)
        cleaned.set()

    with pytest.raises(KeyboardInterrupt):
        run_cancellable(work, cancel, cleanup_limit=10)
    assert cleaned.is_set()


def test_an_interrupt_just_after_the_work_has_ended_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class LateInterrupt:
        def __init__(self) -> None:
            self._lock = threading.Lock()
            self.release, self.locked = self._lock.release, self._lock.locked

        def acquire(self, timeout: float = -1) -> bool:
            got = self._lock.acquire(timeout=timeout)
            if got and timeout > 0:  # the one that waits for the work
                raise KeyboardInterrupt
            return got

    seen_there = SimpleNamespace(Lock=LateInterrupt, Thread=threading.Thread)  # nobody else's locks
    monkeypatch.setattr("archon_dagster.cancelling.threading", seen_there)
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_cancellable(lambda: None, threading.Event(), cleanup_limit=20)
    assert time.monotonic() - begun < 10
