"""Signals for a whole service: its process, its group, and every descendant.

A service is rarely one process. PostgreSQL's workers even lead sessions of their own, so the group is not enough,
and a worker that has lost its parent is not a descendant any more: it is recognised by a mark in its environment,
or, where a program overwrites that (PostgreSQL does), by its executable in the service's working directory.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

MARK = "ARCHON_PROCESS_MARK"
"""Variable that every process of a service inherits; its value names one instance of one service."""

_POLL = 0.02  # seconds between looks while processes end


def tree(pid: int) -> list[psutil.Process]:
    """A process and its descendants, parents first; empty when it is gone."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def strays(mark: str, program: Path | None, cwd: Path) -> list[psutil.Process]:
    """Living processes of an instance, whoever their parent is now."""
    return [process for process in psutil.process_iter() if _belongs(process, mark, program, cwd)]


def _belongs(process: psutil.Process, mark: str, program: Path | None, cwd: Path) -> bool:
    try:
        if process.pid == os.getpid() or _state(process) is None:
            return False
        if process.environ().get(MARK) == mark:
            return True
        return program is not None and Path(process.exe()) == program and Path(process.cwd()) == cwd
    except (psutil.Error, OSError):
        return False  # not ours to look at, hence not ours


def _state(process: psutil.Process) -> str | None:
    """What a process does; ``None`` when it has ended, reaped or not."""
    try:
        state = str(process.status()) if process.is_running() else None
    except psutil.NoSuchProcess:
        return None
    return None if state in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD) else state


def is_stopped(process: psutil.Process) -> bool:
    """Whether a process is frozen by a signal."""
    return _state(process) == psutil.STATUS_STOPPED


def send(processes: Iterable[psutil.Process], number: int) -> None:
    """Send a signal to each; one that has gone meanwhile is fine."""
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def freeze(pid: int, budget: float) -> bool:
    """Stop a whole tree; ``False`` if it could not be within ``budget`` seconds.

    The parent first, so that it starts no more children, and again until no descendant runs.
    """
    end = time.monotonic() + budget
    while time.monotonic() < end:
        members = tree(pid)
        moving = [process for process in members if _state(process) not in (None, psutil.STATUS_STOPPED)]
        if not moving:
            return any(is_stopped(process) for process in members)
        send(moving, signal.SIGSTOP)
        time.sleep(_POLL)
    return False


def thaw(pid: int, budget: float) -> bool:
    """Continue a whole tree, children first; ``False`` if some of it is still frozen after ``budget`` seconds."""
    end = time.monotonic() + budget
    while time.monotonic() < end:
        frozen = [process for process in tree(pid) if is_stopped(process)]
        if not frozen:
            return True
        send(reversed(frozen), signal.SIGCONT)
        time.sleep(_POLL)
    return False


def wait_gone(processes: Iterable[psutil.Process], budget: float) -> list[psutil.Process]:
    """Wait until the given processes have ended; returns those that have not within ``budget`` seconds."""
    end = time.monotonic() + budget
    left = [process for process in processes if _state(process)]
    while left and time.monotonic() < end:
        time.sleep(_POLL)
        left = [process for process in left if _state(process)]
    return left


def kill_all(processes: Iterable[psutil.Process], budget: float) -> list[psutil.Process]:
    """SIGKILL processes and all they start meanwhile; returns what is still there after ``budget`` seconds."""
    end = time.monotonic() + budget
    left = {process.pid: process for process in processes}
    while left and time.monotonic() < end:
        family = {member.pid: member for pid in left for member in tree(pid)}
        left |= family
        send(left.values(), signal.SIGKILL)
        left = {process.pid: process for process in wait_gone(left.values(), 0.1)}
    return list(left.values())


def processor_seconds(processes: Iterable[psutil.Process]) -> float:
    """CPU time processes have used so far."""
    total = 0.0
    for process in processes:
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def memory_bytes(processes: Iterable[psutil.Process]) -> int:
    """Resident memory of processes that share some of it, the shared part counted once, as far as the system tells."""
    private, shared = 0, 0
    for process in processes:
        with suppress(psutil.Error):
            memory = process.memory_info()
            common = getattr(memory, "shared", 0)
            private += memory.rss - common
            shared = max(shared, common)
    return private + shared
