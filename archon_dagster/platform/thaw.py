"""The guard of :mod:`archon_dagster.platform.quiesce`: ``python -m archon_dagster.platform.thaw LIMIT SERVICE…``.

Says ``ready``, then waits until its standard input ends (the run is done or dead) or LIMIT seconds have passed, and
unpauses the services that are still paused. In every case the writers go on.
"""

from __future__ import annotations

import select
import sys

from archon_dagster.platform.quiesce import unpause
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.settings import load_settings


def main(limit: float, names: list[str]) -> None:
    runtime = open_runtime(load_settings())
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    select.select([sys.stdin], [], [], limit)
    unpause(runtime, names)


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2:])
