"""Time whole operations in turn, so that a machine that drifts drifts for all of them.

Every round runs each contender once; figures are medians over the rounds, ratios are medians of the rounds' ratios.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

LIMIT = 900.0  # seconds any single run may take
SAMPLE = 0.02  # seconds between two looks at the memory of other processes


@dataclass
class Contender:
    """Something that can be timed.

    :param run: does it once; returns the seconds it took.
    :param prepare: puts everything back before a run; not timed.
    """

    name: str
    run: Callable[[], float]
    prepare: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Row:
    """One measured operation: seconds per contender and round, the first contender being ours."""

    title: str
    seconds: Mapping[str, Sequence[float]]
    targets: Mapping[str, float] = field(default_factory=dict)
    bytes: int = 0
    note: str = ""

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def ratio(self, name: str) -> float:
        """How many times as long ``name`` took as we did."""
        ours = self.seconds[next(iter(self.seconds))]
        return statistics.median(theirs / mine for theirs, mine in zip(self.seconds[name], ours, strict=True))


def in_turn(title: str, contenders: Sequence[Contender], rounds: int, **more: object) -> Row:
    """Run every contender ``rounds`` times, A B C A B C …"""
    seconds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for _ in range(rounds):
        for contender in contenders:
            contender.prepare()
            seconds[contender.name].append(contender.run())
    return Row(title, seconds, **more)  # type: ignore[arg-type]


def command(*words: str, env: Mapping[str, str] | None = None, fine: tuple[int, ...] = (0,)) -> float:
    """Seconds a command took; raises with its output where it failed."""
    started = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, **(env or {})}, timeout=LIMIT)
    seconds = time.perf_counter() - started
    if done.returncode not in fine:
        raise RuntimeError(f"{' '.join(words)} failed with {done.returncode}: {done.stderr[-2000:]}")
    return seconds


def timed(work: Callable[[], object]) -> float:
    """Seconds a piece of work took."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def aside(folder: Path) -> None:
    """Move a folder out of the way, to be deleted with everything else: files deleted a moment ago slow down the
    creation of new ones (ext4 avoids their inodes for some seconds)."""
    if folder.exists():
        folder.rename(folder.with_name(f"{folder.name}.old-{uuid.uuid4().hex}"))


def peak_mib() -> float:
    """The most memory this process has held since it was started, in MiB."""
    status = Path("/proc/self/status")
    if not status.exists():  # elsewhere the counter may also contain the parent's
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    return next(int(line.split()[1]) / 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))


class ChildrenPeak:
    """The most memory of its own that any one process started meanwhile has held, in MiB; Linux only, else 0.

    Pages of mapped files are left out: the kernel takes them back whenever it needs the room, and Qdrant's engine maps
    a whole collection. No counter tells the peak of the rest, so it is looked at again and again.
    """

    def __init__(self) -> None:
        self.mib = 0.0
        self._earlier: frozenset[str] = frozenset()
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> ChildrenPeak:
        self._earlier = frozenset(_descendants("self", frozenset()))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()

    def _look(self) -> None:
        ours = _command("self")
        while not self._enough.wait(SAMPLE):
            for pid in _descendants("self", self._earlier):
                # before it becomes another program, a new process shows our memory as its own
                if _command(pid) != ours:
                    self.mib = max(self.mib, _anonymous_mib(pid))


def _descendants(process: str, but_not: frozenset[str]) -> Iterator[str]:
    """The processes below one, without ``but_not`` and what is below those."""
    for listed in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):  # the thread or the process has ended
            for child in listed.read_text().split():
                if child not in but_not:
                    yield child
                    yield from _descendants(child, but_not)


def _command(process: str) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes()
    return b""


def _anonymous_mib(process: str) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("RssAnon"):
                return int(line.split()[1]) / 1024
    return 0.0
