"""The child process that builds the index of a copied shard: ``python -m … SHARD CONFIG``; see ``optimizing``."""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path

from archon_dagster.sandbox.vectors import shard as shards

PR_SET_PDEATHSIG = 1
NICENESS = 10


def die_with_parent() -> None:
    """End when the server is killed; other systems than Linux finish the build and end then."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main(path: Path, config: Path) -> None:
    die_with_parent()
    os.nice(NICENESS)
    engine = shards.load(path, json.loads(config.read_bytes()))
    engine.optimize()
    engine.flush()
    engine.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
