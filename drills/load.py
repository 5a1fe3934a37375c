"""Put a load on a web service, bounded in time, in requests and in their rate, and say what it was like.

``python -m drills.load http://127.0.0.1:8055/search --seconds 30 --clients 8 --rate 40``. Each request has a connection
of its own, as different clients have, so that a balancer can share them out. Exit code 1 where one was not answered.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass, field

from archon_dagster.cli.output import console

MOST = 100_000  # requests, whatever is asked for
LONGEST = 3600.0  # seconds, whatever is asked for
_TIMEOUT = 30.0  # seconds of one request
_QUESTION = {"query": "a load on the search service", "mode": "semantic", "limit": 3}


@dataclass(frozen=True)
class Load:
    """What is asked.

    :param clients: that ask at the same time, each waiting for its answer.
    :param rate: requests a second of all of them together; 0: as many as are answered.
    """

    url: str
    seconds: float = 10.0
    clients: int = 4
    rate: float = 0.0
    most: int = 10_000


@dataclass
class Came:
    """What came of it. :param times: seconds of each good answer. :param failures: what each bad one was."""

    seconds: float = 0.0
    times: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        """So many of the answers took at most so many seconds; 0 where there was none."""
        times = sorted(self.times)
        return times[min(len(times) - 1, int(share * len(times)))] if times else 0.0

    @property
    def line(self) -> str:
        """The whole in a line."""
        rate = len(self.times) / self.seconds if self.seconds else 0.0
        p50, p95 = (1000 * self.quantile(share) for share in (0.5, 0.95))
        return (f"{len(self.times):,} answers and {len(self.failures):,} failures in {self.seconds:.1f} s: "
                f"{rate:.1f}/s, p50 {p50:.0f} ms, p95 {p95:.0f} ms")  # fmt: skip


class Running:
    """A load that is being put on, until the block ends, its time is up or its requests are spent."""

    def __init__(self, load: Load):
        self.load, self.came = load, Came()
        self._over, self._turn = threading.Event(), threading.Lock()
        self._begin, self._asked = time.monotonic(), 0
        self._threads = [threading.Thread(target=self._client, daemon=True) for _ in range(load.clients)]

    def __enter__(self) -> Running:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.wait()

    def wait(self) -> Came:
        """Until the last answer is there."""
        for thread in self._threads:
            thread.join()
        self.came.seconds = time.monotonic() - self._begin
        return self.came

    def _client(self) -> None:
        while (at := self._next()) is not None:
            if self._over.wait(max(0.0, at - time.monotonic())):
                return
            self._ask()

    def _next(self) -> float | None:
        """When the next request is due; ``None``: there is none."""
        with self._turn:
            number, self._asked = self._asked, self._asked + 1
        due = self._begin + number / self.load.rate if self.load.rate else time.monotonic()
        end = self._begin + min(self.load.seconds, LONGEST)
        spent = self._over.is_set() or number >= min(self.load.most, MOST) or max(due, time.monotonic()) >= end
        return None if spent else due

    def _ask(self) -> None:
        body = json.dumps(_QUESTION).encode()
        request = urllib.request.Request(self.load.url, body, {"Content-Type": "application/json"})
        begin = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
                answer.read()
        except (OSError, ValueError) as error:
            self.came.failures.append(f"{type(error).__name__}: {error}")
        else:
            self.came.times.append(time.monotonic() - begin)


def put_on(load: Load) -> Came:
    """All of it, from the beginning to the end."""
    with Running(load) as running:
        return running.wait()


def main() -> int:
    """Put on a load, and show what it was like."""
    parser = argparse.ArgumentParser(prog="python -m drills.load", description=__doc__)
    parser.add_argument("url", help="where searches are posted to")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=4, choices=range(1, 65), metavar="1..64")
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second; 0: as many as are answered")
    parser.add_argument("--most", type=int, default=10_000, help="requests")
    chosen = parser.parse_args()
    came = put_on(Load(chosen.url, chosen.seconds, chosen.clients, chosen.rate, chosen.most))
    console.print(came.line, highlight=False)
    for failure in sorted(set(came.failures))[:5]:
        console.print(f"  {failure}", highlight=False, markup=False)
    return 1 if came.failures or not came.times else 0


if __name__ == "__main__":
    sys.exit(main())
