"""`archon` as a user types it, on a running platform."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster.sandbox.seed import seed
from archon_dagster_tests.platforms import running_platform


@dataclass(frozen=True)
class Shell:
    """A shell in which ``archon`` works on one platform."""

    platform: Sandbox

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "ARCHON_HOME": str(self.platform.home)}
        command = [sys.executable, "-m", "archon_dagster.cli", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)

    def json(self, *words: str, code: int = 0) -> Any:
        done = self.run(*words, "--json")
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    def fails(self, code: int, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done.stderr


@contextmanager
def running_shell(home: Path, *, files: int, points: int) -> Iterator[Shell]:
    """A small platform with something in it, for the block."""
    with running_platform(home) as platform:
        seed(platform.settings, platform.runtime, limit=files, max_points=points)
        yield Shell(platform)
