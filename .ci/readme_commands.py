"""The README's two commands, typed by a newcomer: in a clone, alone in a container, with the standard library only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

PORT = 3190
START_LIMIT = 300.0  # seconds
END_LIMIT = 120.0


def main() -> None:
    subprocess.run(["make", "demo"], check=True, timeout=900)
    up = subprocess.Popen(["make", "up", f"PORT={PORT}"], start_new_session=True)
    try:
        _wait_for_page(up)
    finally:
        with suppress(ProcessLookupError):  # it has ended by itself, and that is told
            os.killpg(up.pid, signal.SIGINT)  # as Ctrl-C does: the whole group
    code = up.wait(END_LIMIT)
    left = _left()
    if left:
        sys.exit(f"make up ended with {code} and left processes:\n" + "\n".join(left))
    print(f"README make_demo=identical make_up=page_on_{PORT} left=nothing (exit code {code})")  # noqa: T201


def _left() -> list[str]:
    """The commands of all processes that are not the container's first ones and not this one."""
    own = {1, os.getpid(), os.getppid()}
    commands = list[str]()
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and int(process.name) not in own:
            with suppress(OSError):  # it has just ended
                commands.append((process / "cmdline").read_text().replace("\0", " "))
    return commands


def _wait_for_page(up: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_LIMIT
    while True:
        if up.poll() is not None:
            sys.exit(f"make up ended with {up.returncode}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/server_info", timeout=5) as answer:
                print(answer.read().decode(), flush=True)  # noqa: T201
                return
        except OSError as error:
            if time.monotonic() > end:
                sys.exit(f"no page on port {PORT} within {START_LIMIT:g} s: {error}")
        time.sleep(0.5)


if __name__ == "__main__":
    main()
