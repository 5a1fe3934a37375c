"""The ``docker`` command of tests, on whatever engine is there, and the image that their containers are made of.

The image needs a shell and Python: ``ARCHON_TEST_IMAGE`` names one that the engine has (CI makes it, for no registry is
needed then); else a public one is pulled.
"""

from __future__ import annotations

import os
import subprocess

IMAGE = os.environ.get("ARCHON_TEST_IMAGE", "python:3.12-slim-bookworm")
PROXY_IMAGE = os.environ.get("ARCHON_TEST_IMAGE", "haproxy:3.0.10")  # CI's has it too
LIMIT = 120.0  # seconds of any docker command in a test


def docker(*arguments: str, check: bool = True, limit: float = LIMIT, merged: bool = False) -> str:
    """What a docker command prints. :param merged: on both of its outputs."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=limit)
    if check and done.returncode != 0:
        raise AssertionError(f"docker {' '.join(arguments)} failed: {done.stderr}")
    return (done.stdout + done.stderr if merged else done.stdout).strip()
