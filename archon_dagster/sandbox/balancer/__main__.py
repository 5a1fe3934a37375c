"""``python -m archon_dagster.sandbox.balancer --port N --directory services/NAME``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from archon_dagster.sandbox.balancer.proxy import Balancer


def main() -> int:
    parser = argparse.ArgumentParser(prog="archon-balancer", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--directory", type=Path, required=True)
    chosen = parser.parse_args()
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(Balancer(chosen.port, chosen.directory).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
