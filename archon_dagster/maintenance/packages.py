"""Packages of this host: listed where apt is, installed only by somebody who has typed it.

An upgrade can restart the Docker daemon, and with it everything; so it is no part of the weekly run.
"""

from __future__ import annotations

import os
import shutil
import subprocess

from archon_dagster.errors import ArchonError, ConfirmationMissing
from archon_dagster.maintenance.step import Done, MaintenanceContext

CONFIRMATION = "INSTALL-PACKAGES"
_LIST_LIMIT, _INSTALL_LIMIT = 60.0, 3600.0  # seconds
_LAST = 6  # lines of what a failed one said


def update(context: MaintenanceContext) -> Done:
    """List what could be upgraded; upgrade it where ``INSTALL-PACKAGES`` was typed."""
    typed = context.confirm_packages
    if typed and typed != CONFIRMATION:
        raise ConfirmationMissing("installing packages was not confirmed; nothing was touched",
                                  todo=f"type {CONFIRMATION}")  # fmt: skip
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
    _apt(["upgrade", "--yes"], _INSTALL_LIMIT)
    return Done(f"{len(found)} packages were upgraded", lines)


def _apt(arguments: list[str], limit: float) -> str:
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", *arguments]
    said = " ".join(command)
    try:
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False, timeout=limit)  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ArchonError(f"{said} did not end within {limit:g} s", todo="try it by hand") from error
    if done.returncode != 0:
        last = " ".join((done.stderr or done.stdout).split("\n")[-_LAST:]).strip()
        raise ArchonError(f"{said} failed: {last}", todo="try it by hand, as root")
    return done.stdout
