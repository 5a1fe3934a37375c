"""Start the server: ``python -m archon_dagster.sandbox.vectors --port N --storage DIR --snapshots DIR``."""

import argparse
import logging
import os
import sys
from pathlib import Path

import uvicorn

from archon_dagster.sandbox.vectors import app
from archon_dagster.sandbox.vectors.command import VERSION
from archon_dagster.sandbox.vectors.errors import CannotStart
from archon_dagster.sandbox.vectors.registry import Registry

PANIC_EXIT_CODE = 101
GRACE = 3
"""Seconds that open connections get at shutdown."""


def main() -> int:
    options = _arguments()
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        message = os.environ.get("QDRANT__STORAGE__RECOVERY_MODE") or None
        registry = Registry(options.storage, options.snapshots, recovery_message=message)
    except CannotStart as error:
        logging.getLogger(__name__).critical("thread 'main' panicked: %s", error)
        return PANIC_EXIT_CODE
    keys = {
        "key": os.environ.get("QDRANT__SERVICE__API_KEY") or None,
        "read_only_key": os.environ.get("QDRANT__SERVICE__READ_ONLY_API_KEY") or None,
    }
    uvicorn.run(
        app.build(registry, version=options.version, **keys),
        host=options.host,
        port=options.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=GRACE,
    )
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="archon_dagster.sandbox.vectors", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=6333)
    parser.add_argument("--storage", type=Path, required=True)
    parser.add_argument("--snapshots", type=Path, required=True)
    version = os.environ.get("ARCHON_SANDBOX_QDRANT_VERSION") or VERSION
    parser.add_argument("--version", default=version, help="what GET / answers")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
