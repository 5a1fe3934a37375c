"""Start one stand-in: ``python -m archon_dagster.sandbox.services SERVICE --port N``."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from archon_dagster.sandbox.layout import STAND_INS
from archon_dagster.sandbox.services import serving

MODULES = {name: f"archon_dagster.sandbox.services.{name.removeprefix('archon-')}" for name in STAND_INS}
MODULES["archon-search"] = "archon_dagster.sandbox.search.app"


def main() -> int:
    parser = argparse.ArgumentParser(prog="archon-stand-in", description="A service of the sandbox.")
    parser.add_argument("service", choices=MODULES)
    parser.add_argument("--port", type=int, required=True)
    chosen = parser.parse_args()
    # only now: each service imports what it needs and nothing of the others
    return serving.run(chosen.service, chosen.port, lambda: import_module(MODULES[chosen.service]).create)


if __name__ == "__main__":
    sys.exit(main())
