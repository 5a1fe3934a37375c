"""Who a process is, so that another one can tell whether it is certainly dead.

A pid alone says nothing: every container has a pid 1, and pids are reused. Host name, boot id, pid namespace, pid and
the process's start time together name one process. Only where the first three are *ours* can we look the process up;
everywhere else, and on systems without ``/proc``, the answer is "not known to be dead" and a lease has to decide.
"""

from __future__ import annotations

import functools
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

_TOKEN = re.compile(r"([0-9a-f]{32})-([0-9]+)-([0-9]+)-([0-9]+)")


@dataclass(frozen=True, slots=True)
class Process:
    """One process, everywhere. ``boot`` is empty where the system cannot tell processes apart."""

    host: str
    boot: str
    namespace: int
    pid: int
    started: int  # clock ticks after boot

    @property
    def token(self) -> str:
        """Short form for file names; empty where it would prove nothing."""
        return f"{self.boot}-{self.namespace}-{self.pid}-{self.started}" if self.boot else ""


def this_process() -> Process:
    """The identity of the running process; a fork changes it."""
    return _identity(os.getpid())


@functools.lru_cache(maxsize=1)
def _identity(pid: int) -> Process:
    host = socket.gethostname()
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
        namespace = Path("/proc/self/ns/pid").stat().st_ino
        state = _stat(pid)
    except OSError:
        return Process(host, "", 0, pid, 0)
    return Process(host, boot, namespace, pid, state[1] if state else 0)


def certainly_dead(process: Process) -> bool:
    """Whether the process ran here, under this boot and in this pid namespace, and is gone."""
    here = this_process()
    if not process.boot or (process.host, process.boot, process.namespace) != (here.host, here.boot, here.namespace):
        return False
    try:
        state = _stat(process.pid)
    except OSError:
        return False  # /proc refused to say
    return state is None or state[0] in "ZX" or state[1] != process.started


def from_token(token: str) -> Process | None:
    """The process behind a token written on this host; ``None`` where the token is not one."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    boot, namespace, pid, started = match.groups()
    return Process(socket.gethostname(), boot, int(namespace), int(pid), int(started))


def _stat(pid: int) -> tuple[str, int] | None:
    """State and start time of a process, ``None`` where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()  # the command's name may hold anything, so count from its end
    return fields[0], int(fields[19])
