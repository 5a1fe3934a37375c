"""Say at once where the sandbox's servers do not exist, before anything is installed.

Standard library only, and runnable as a plain file by any Python 3.11 or later: ``python support.py``.
"""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass

_OLDEST_GLIBC = (2, 34)
_PYTHONS = ((3, 11), (3, 14))  # from, below
_LINUX, _MAC = ("x86_64", "aarch64"), ("arm64",)


@dataclass(frozen=True)
class Machine:
    """What decides whether the wheels fit.

    :param glibc: version of the C library, ``None`` where there is another one (musl).
    """

    system: str
    processor: str
    glibc: tuple[int, int] | None
    python: tuple[int, int]


def this_machine() -> Machine:
    processor = platform.machine()
    return Machine(
        system=platform.system(),
        processor={"amd64": "x86_64", "AMD64": "x86_64"}.get(processor, processor),
        glibc=_glibc(),
        python=(sys.version_info.major, sys.version_info.minor),
    )


def _glibc() -> tuple[int, int] | None:
    try:
        text = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, ValueError, OSError):
        return None
    name, _, version = text.partition(" ")
    if name != "glibc":
        return None
    major, _, minor = version.partition(".")
    return int(major), int(minor.partition(".")[0])


def reason_against(machine: Machine) -> str | None:
    """Why the sandbox's servers cannot run on a machine; ``None`` where they can."""
    first, beyond = _PYTHONS
    if not first <= machine.python < beyond:
        have, want = ".".join(map(str, machine.python)), ".".join(map(str, first))
        return f"Python {have} is not supported, {want} up to below {'.'.join(map(str, beyond))} is"
    if machine.system == "Darwin":
        return None if machine.processor in _MAC else f"there are no servers for macOS on {machine.processor}"
    if machine.system != "Linux":
        return f"there are no servers for {machine.system}"
    if machine.processor not in _LINUX:
        return f"there are no servers for Linux on {machine.processor}"
    if machine.glibc is None:
        return "the servers need the GNU C library, and this system has another one"
    if machine.glibc < _OLDEST_GLIBC:
        return f"the servers need glibc 2.34 or later, and this system has {'.'.join(map(str, machine.glibc))}"
    return None


_TODO = (
    "use the Docker deployment (docs/docker.md); "
    "the embedded platform runs on Linux (x86-64, aarch64, glibc 2.34 or later) and macOS (arm64)"
)


def check_supported(machine: Machine | None = None) -> None:
    """Raise :class:`~archon_dagster.errors.ConfigurationError` where the sandbox's servers do not exist."""
    reason = reason_against(machine or this_machine())
    if reason is not None:
        from archon_dagster.errors import ConfigurationError

        raise ConfigurationError(f"the embedded platform cannot run here: {reason}", todo=_TODO)


def main() -> int:
    reason = reason_against(this_machine())
    if reason is not None:
        sys.stderr.write(f"the embedded platform cannot run here: {reason}\nwhat to do: {_TODO}\n")
    return 0 if reason is None else 1


if __name__ == "__main__":
    sys.exit(main())
