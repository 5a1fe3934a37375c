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


def update(context: MaintenanceContext) -> Done:
    """List what could be upgraded; upgrade it where ``INSTALL-PACKAGES`` was typed."""
    typed = context.confirm_packages
    if typed and typed != CONFIRMATION:
        raise ConfirmationMissing("installing packages was not confirmed; nothing was touched",
                                  todo=f"type {CONFIRMATION}")  # fmt: skip
    if not shutil.which("apt"):
        return Done("not applicable: there is no apt here", idle=True)
    listed = _apt(["list", "--upgradable"], _LIST_LIMIT)
    found = [line for line in listed.splitlines() if "upgradable from" in line]
    if not found:
        return Done("nothing to upgrade, as far as the package lists here know", idle=True)
    if not typed:
        return Done(f"{len(found)} packages could be upgraded; nothing was installed", tuple(found))
    context.operation.check()
    _apt(["upgrade", "--yes"], _INSTALL_LIMIT)
    return Done(f"{len(found)} packages were upgraded", tuple(found))


def _apt(arguments: list[str], limit: float) -> str:
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(["apt-get" if arguments[0] == "upgrade" else "apt", *arguments], env=environment,
                              capture_output=True, text=True, check=False, timeout=limit)  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ArchonError(f"apt {arguments[0]} did not end within {limit:g} s", todo="try it by hand") from error
    if done.returncode != 0:
        raise ArchonError(f"apt {arguments[0]} failed: {done.stderr.strip()[-500:]}", todo="try it by hand, as root")
    return done.stdout
