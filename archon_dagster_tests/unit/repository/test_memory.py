"""A stream far larger than memory should be is the normal case."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

WORKER = """
import random, resource, sys
from pathlib import Path
from archon_dagster.repository.repository import Repository
from archon_dagster.stores.base import Work
from archon_dagster_tests.unit.repository.conftest import back_up, window

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

repository = Repository.open(sys.argv[1], create=True)
back_up(repository, {"warm-up": random.randbytes(1000)})
idle = peak()
with repository.begin("manual") as pending:
    with pending.artifact("vectors", "large", "k", media_type="x/y", cut=sys.argv[2]) as artifact:
        noise = random.Random(0).randbytes(1 << 20)
        for number in range(1024):
            artifact.write(number.to_bytes(8, "big") + noise[number:] + noise[:number] + b"\\n")
    manifest = pending.seal(window=window(), versions={})
assert repository.verify(manifest.id, Work(scratch=Path())).passed
with repository.source(manifest).open(manifest.artifacts[0]) as stream:
    while stream.read(1 << 20):
        pass
print(peak() - idle)
"""


@pytest.mark.timeout(240)
@pytest.mark.parametrize("cut", ["tar", "content"])
def test_a_stream_of_a_gigabyte_needs_little_memory(tmp_path: Path, cut: str) -> None:
    command = [sys.executable, "-c", WORKER, str(tmp_path / "repository"), cut]
    result = subprocess.run(command, capture_output=True, text=True, timeout=200, check=True)
    assert int(result.stdout) < 256 << 20
