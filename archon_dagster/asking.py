"""Ask many things at once and take what comes within a time: one that hangs keeps nobody waiting.

Not a thread pool: Python waits for a pool's threads before it exits, and one of them may hang for good.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")


def ask_all(questions: Mapping[str, Callable[[], T]], limit: float) -> dict[str, T | Exception]:
    """The answers, or the errors raised instead; a :class:`TimeoutError` for a question still open after ``limit`` s.

    What still hangs is left behind in a daemon thread, which ends with the process.
    """
    answers: dict[str, T | Exception] = {}

    def ask(name: str, question: Callable[[], T]) -> None:
        try:
            answers[name] = question()
        except Exception as error:  # noqa: BLE001 - handed to the caller, whose business it is
            answers[name] = error

    threads = {
        name: threading.Thread(target=ask, args=(name, question), name=f"ask {name}", daemon=True)
        for name, question in questions.items()
    }
    deadline = time.monotonic() + limit
    for thread in threads.values():
        thread.start()
    for thread in threads.values():
        thread.join(max(0.0, deadline - time.monotonic()))
    late = TimeoutError(f"no answer within {limit:g} s")
    return {name: answers.get(name, late) for name in questions}
