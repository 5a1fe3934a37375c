"""Run a command that must not outlive its parent: ``python -m archon_dagster.cli.tether COMMAND…``.

The parent holds the other end of standard input. When that ends, because the parent closed it or is dead, however it
died, the command gets SIGINT, then SIGTERM, then SIGKILL. Standard library only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

GRACE = 15.0  # seconds after each signal


def main(command: list[str]) -> int:
    """Run the command until it ends or the parent is gone; returns its exit code, 128 + n after a signal n."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the parent decides, by closing standard input
    threading.Thread(target=_end_with_parent, args=(child,), daemon=True).start()
    code = child.wait()
    return code if code >= 0 else 128 - code


def _end_with_parent(child: subprocess.Popen[bytes]) -> None:
    while os.read(0, 1024):  # not sys.stdin: a thread that waits in its buffer makes Python abort at the end
        pass
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        child.send_signal(number)
        try:
            child.wait(GRACE)
        except subprocess.TimeoutExpired:
            continue
        return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
