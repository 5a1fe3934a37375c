"""Which processes a home has left running, and whom a process talks to."""

from __future__ import annotations

import os
from pathlib import Path

import psutil


def processes_under(home: Path) -> list[list[str]]:
    """Commands of living processes, this one aside, that work in a home or have it in their arguments."""
    found = []
    for process in psutil.process_iter():
        try:
            command, cwd = process.cmdline(), process.cwd()
        except (psutil.Error, OSError):
            continue
        if process.pid != os.getpid() and (cwd.startswith(str(home)) or any(str(home) in part for part in command)):
            found.append(command)
    return found


def remote_ports(pid: int) -> set[int]:
    """Ports a process is connected to."""
    return {one.raddr.port for one in psutil.Process(pid).net_connections("inet") if one.raddr}
