"""How long a silent server is waited for: a busy one long, a frozen one briefly.

Silence alone says nothing. A server that counts a billion relationships or builds an index is silent and healthy, one
that is frozen or behind a dead network is silent for ever. So a server that has said nothing for ``Work.silence``
seconds is asked a trivial question on a connection of its own. If that stays unanswered too, it is given up; if it is
answered, the wait goes on, up to ``Work.deadline``, or without end where the answer proves that our own work is being
done. The question is asked by a thread of its own, so that whoever waits can still be cancelled at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal

from archon_dagster.stores.base import Work

Life = Literal["silent", "answers", "working"]
"""What a question on another connection showed: nothing came, something came, our own work was seen to go on."""

Ask = Callable[[float], Life]
"""Puts the question; takes the seconds it may wait for the answer, and never raises."""

ASK_LIMIT = 10.0  # seconds a server may take to answer a trivial question
_MARGIN = 2.0  # seconds beyond its limit after which a question counts as unanswered, whatever holds it up


class Patience:
    """Judges one wait after the other; used by the one thread that watches over them.

    :param ask: ``None`` for a program that talks to no server: then there is only the deadline.
    """

    def __init__(self, work: Work, ask: Ask | None = None):
        self._silence, self._deadline, self._ask = min(work.silence, work.deadline), work.deadline, ask
        self._limit = min(ASK_LIMIT, max(1.0, self._silence))
        self._since: float | None = None
        self._question: _Question | None = None

    def ended(self, since: float) -> str | None:
        """Why the wait that began at ``since`` (monotonic) is over; ``None`` while it may go on."""
        if since != self._since:  # something was heard meanwhile: what an earlier question showed is old
            self._since, self._question = since, None
        waited = time.monotonic() - since
        if self._ask is None:
            return f"nothing came for {waited:.0f} s" if waited > self._deadline else None
        life = self._life(self._ask) if waited > self._silence else None
        if life == "silent":
            return f"nothing came for {waited:.0f} s, and a second connection got no answer either"
        if life == "answers" and waited > self._deadline:
            return f"nothing came for {waited:.0f} s, though a second connection is answered"
        return None

    def _life(self, ask: Ask) -> Life | None:
        """The last answer, ``None`` before there is one; asked again as often as the server may be silent."""
        question = self._question
        if question is None:
            question = self._question = _Question(ask, self._limit)
        elif question.life in ("answers", "working") and question.age > max(self._silence, self._limit):
            question = self._question = _Question(ask, self._limit, question.life)
        if question.life is not None:
            return question.life
        return "silent" if question.age > self._limit + _MARGIN else question.before


class _Question:
    """A question being put in a thread of its own.

    :ivar life: the answer, once it is known; :ivar before: what the question before it showed.
    """

    def __init__(self, ask: Ask, limit: float, before: Life | None = None):
        self.life: Life | None = None
        self.before = before
        self._began = time.monotonic()
        self._ask, self._limit = ask, limit
        threading.Thread(target=self._put, name="ask whether it lives", daemon=True).start()

    @property
    def age(self) -> float:
        return time.monotonic() - self._began

    def _put(self) -> None:
        self.life = self._ask(self._limit)
