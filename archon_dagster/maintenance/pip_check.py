"""Do the Python packages inside a service go together?"""

from __future__ import annotations

import threading
from importlib.metadata import distributions

from archon_dagster.errors import ArchonError
from archon_dagster.platform.runtime.protocol import Runtime

LIMIT = 60.0  # seconds
_SCRIPT = "command -v pip >/dev/null 2>&1 || exit 0; pip check 2>&1"
"""A service without Python has nothing to check."""


def pip_check(runtime: Runtime, service: str) -> str | None:
    """What ``pip check`` complains of inside the running service; empty where it is content, or there is no pip.

    ``None``: it could not be asked, for it does not run, or is made of nothing but its program.
    """
    try:
        with runtime.exec(service, ["sh", "-c", _SCRIPT]) as command:
            late = threading.Timer(LIMIT, command.kill)
            late.start()
            try:
                command.stdin.close()
                said = command.stdout.read(20_000).decode(errors="replace")
                code = command.wait(LIMIT)
            finally:
                late.cancel()
            return "" if code == 0 else " ".join(said.split())[:500] or f"it ended with {code}"
    except ArchonError:
        return None


def installed() -> list[tuple[str, str]]:
    """The packages of this installation, by name, with their versions: what local processes are made of."""
    return sorted({(one.metadata["Name"], one.version) for one in distributions()}, key=lambda pair: pair[0].lower())
