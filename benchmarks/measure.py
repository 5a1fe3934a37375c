"""Time whole operations in turn, so that a machine that drifts drifts for all of them.

Every round runs each contender once; figures are medians over the rounds, ratios are medians of the rounds' ratios.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LIMIT = 900.0  # seconds any single run may take


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


def children_peak_mib() -> float:
    """The most memory that any one process started by this one has held, in MiB; 0 where none has ended."""
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit
