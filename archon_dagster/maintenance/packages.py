"""Packages of this host: listed where apt is, installed only by somebody who has typed it.

An upgrade can restart the Docker daemon, and with it everything; so it is no part of the weekly run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from tempfile import TemporaryFile
from typing import IO

from archon_dagster.errors import ArchonError, ConfirmationMissing
from archon_dagster.maintenance.step import Done, MaintenanceContext
from archon_dagster.platform.container import in_container

CONFIRMATION = "INSTALL-PACKAGES"
_LIST_LIMIT, _INSTALL_LIMIT = 60.0, 3600.0  # seconds
_LAST = 6  # lines of what a failed one said
_STILL_AT_WORK = "dpkg may still be at work (ps -C dpkg): let it end, then look what it left: dpkg --audit"


def update(context: MaintenanceContext) -> Done:
    """List what could be upgraded; upgrade it where ``INSTALL-PACKAGES`` was typed."""
    typed = context.confirm_packages
    if typed and typed != CONFIRMATION:
        raise ConfirmationMissing("installing packages was not confirmed; nothing was touched",
                                  todo=f"type {CONFIRMATION}")  # fmt: skip
    if in_container():
        return Done("not applicable: this runs in a container, whose packages are not the host's", idle=True)
    if not shutil.which("apt-get"):
        return Done("not applicable: there is no apt here", idle=True)
    listed = _apt(["--simulate", "upgrade"], _LIST_LIMIT).splitlines()
    found = [f"{line.removeprefix('Inst ').rpartition(')')[0]})" for line in listed if line.startswith("Inst ")]
    lines = (*found, *(line for line in listed if " newly installed, " in line))  # apt's own sum: what it keeps back
    if not found:
        return Done("nothing to upgrade, as far as the package lists here know", lines, idle=True)
    if not typed:
        return Done(f"{len(found)} packages could be upgraded; nothing was installed", lines)
    context.operation.check()
    _apt(["upgrade", "--yes"], _INSTALL_LIMIT, late=_STILL_AT_WORK)
    return Done(f"{len(found)} packages were upgraded", lines)


def _apt(arguments: list[str], limit: float, late: str = "try it by hand") -> str:
    """What it says; :param late: what to do where it does not end.

    Whatever apt has started by then ends by itself: it writes into a file, the end of a pipe would kill it half-way.
    """
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", *arguments]
    said = " ".join(command)
    with TemporaryFile() as output, TemporaryFile() as errors:
        try:
            done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL,
                                  stdout=output, stderr=errors, check=False, timeout=limit)  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise ArchonError(f"{said} did not end within {limit:g} s", todo=late) from error
        told, complained = _read(output), _read(errors)
    if done.returncode != 0:
        last = " ".join((complained or told).split("\n")[-_LAST:]).strip()
        raise ArchonError(f"{said} failed: {last}", todo="try it by hand, as root")
    return told


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
