"""How long a server that says nothing, or hardly anything, is waited for: a busy one long, a frozen one briefly.

Silence alone says nothing. A server that counts a billion relationships or builds an index is silent and healthy, one
that is frozen or behind a dead network is silent for ever. So a server that has said nothing for ``Work.silence``
seconds is asked a trivial question on a connection of its own. If that stays unanswered too, it is given up; if it is
answered, the wait goes on, up to ``Work.deadline``, or without end where the answer proves that our own work is being
done. The question is asked by a thread of its own, so that whoever waits can still be cancelled at once.

A byte now and then is not an answer: a :class:`Wait` goes on until :data:`FLOOR` bytes have come. So a connection that
trickles is judged as one that is silent, and a server is cut off for being slow only where all of these hold: it was
waited for ``Work.deadline`` seconds (600, what we do with its bytes not counted), fewer than 64 KiB came in them, which
is 110 bytes a second and no speed at which a backup could ever end, and it was not once seen at our work meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal, NamedTuple

from archon_dagster.stores.base import Work

Life = Literal["silent", "answers", "working"]
"""What a question on another connection showed: nothing came, something came, our own work was seen to go on."""

Ask = Callable[[float], Life]
"""Puts the question; takes the seconds it may wait for the answer, and never raises."""

FLOOR = 64 << 10  # bytes that count as an answer
ASK_LIMIT = 10.0  # seconds a server may take to answer a trivial question
_MARGIN = 2.0  # seconds beyond its limit after which a question counts as unanswered, whatever holds it up
_SLOW = 0.1  # seconds of waiting after which a wait is worth measuring


class Stretch(NamedTuple):
    """A wait that goes on: when it began (monotonic, as if nothing had been done in between), the bytes since then, and
    when the wait for the next ones began."""

    since: float
    moved: int = 0
    last: float = 0.0

    def nothing_for(self, now: float) -> float:
        """Seconds since the last bytes, or since the beginning where none have come."""
        return now - max(self.since, self.last)


class Wait:
    """One thread's wait for its server, for the thread that watches over it to see.

    :ivar stretch: ``None`` while nobody waits.
    """

    def __init__(self) -> None:
        self.stretch: Stretch | None = None
        self._seconds, self._moved = 0.0, 0

    @property
    def slow(self) -> bool:
        """Whether it has taken long enough to be worth the trouble of counting the bytes."""
        return self._seconds > _SLOW

    def began(self, *, anew: bool = False) -> None:
        """:param anew: for another answer than before."""
        if anew:
            self._seconds, self._moved = 0.0, 0
        now = time.monotonic()
        self.stretch = Stretch(now - self._seconds, self._moved, now)

    def ended(self, moved: int = FLOOR) -> None:
        """So many bytes have moved; without a number it was a whole answer. Nothing happens where nobody waited."""
        if self.stretch is None:
            return
        self._seconds, self._moved = time.monotonic() - self.stretch.since, self._moved + moved
        self.stretch = None
        if self._moved >= FLOOR:
            self._seconds, self._moved = 0.0, 0


class Patience:
    """Judges one wait after the other; used by the one thread that watches over them.

    :param ask: ``None`` for a program that talks to no server: then there is only the deadline.
    """

    def __init__(self, work: Work, ask: Ask | None = None):
        self._silence, self._deadline, self._ask = min(work.silence, work.deadline), work.deadline, ask
        self._limit = min(ASK_LIMIT, max(1.0, self._silence))
        self._worked = 0.0  # when it was last seen at our work
        self._question: _Question | None = None

    def ended(self, stretch: Stretch) -> str | None:
        """Why this wait is over; ``None`` while it may go on."""
        now = time.monotonic()
        waited = now - stretch.since
        if self.trickles(stretch):
            heard = f"only {stretch.moved:,} bytes came in {waited:.0f} s"
        else:
            heard = f"nothing came for {stretch.nothing_for(now):.0f} s"
        if self._ask is None:
            return heard if waited > self._deadline else None
        if waited <= self._silence:  # enough was heard meanwhile: what an earlier question showed is old
            self._question = None
            return None
        life = self._life(self._ask)
        if life == "working":
            self._worked = now
        if life == "silent":
            return f"{heard}, and a second connection got no answer either"
        if life == "answers" and now - max(stretch.since, self._worked) > self._deadline:
            return f"{heard}, though a second connection is answered"
        return None

    def trickles(self, stretch: Stretch) -> bool:
        """Whether bytes still come, too few of them; else there is silence."""
        return stretch.moved > 0 and stretch.nothing_for(time.monotonic()) <= self._silence

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
