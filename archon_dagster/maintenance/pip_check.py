"""Do the Python packages inside a service go together?"""

from __future__ import annotations

from importlib.metadata import distributions

from archon_dagster.errors import ArchonError
from archon_dagster.platform.runtime.protocol import Runtime

LIMIT = 60.0  # seconds
_SCRIPT = "command -v pip >/dev/null 2>&1 || exit 0; pip check 2>&1"
"""A service without Python has nothing to check."""


def pip_check(runtime: Runtime, service: str) -> str:
    """What ``pip check`` complains of inside the running service; empty where it is content or cannot be asked."""
    try:
        with runtime.exec(service, ["sh", "-c", _SCRIPT]) as command:
            command.stdin.close()
            said = command.stdout.read(20_000).decode(errors="replace")
            return "" if command.wait(LIMIT) == 0 else " ".join(said.split())[:500]
    except ArchonError:  # it does not run, or is made of nothing but its program
        return ""


def installed() -> list[tuple[str, str]]:
    """The packages of this installation, by name, with their versions: what local processes are made of."""
    return sorted({(one.metadata["Name"], one.version) for one in distributions()}, key=lambda pair: pair[0].lower())
