"""The programs of Prometheus and Alertmanager, where they are installed; Debian has both."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

_ALSO = {"alertmanager": "prometheus-alertmanager"}
_NEEDED = {"amtool": (0, 26), "alertmanager": (0, 26), "promtool": (2, 41), "prometheus": (2, 41)}
"""Before, a webhook's address could not be a file; before, promtool could not be asked what is tested here."""


def program(name: str) -> str:
    """Where it is; skips the test where it is not, or is too old."""
    found = shutil.which(name) or shutil.which(_ALSO.get(name, name))
    if found is None:
        pytest.skip(f"no {name} on this machine (Debian: prometheus, prometheus-alertmanager)")
    done = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=30, check=True)
    version = re.search(r"version (\d+)\.(\d+)", done.stdout + done.stderr)
    assert version is not None, done
    if (int(version[1]), int(version[2])) < _NEEDED[name]:
        pytest.skip(f"this {name} is {version[0]}, {'.'.join(map(str, _NEEDED[name]))} is needed")
    return found


def answer(name: str, *words: str) -> str:
    """What it says; fails with that where it is not content."""
    done = subprocess.run([program(name), *words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
