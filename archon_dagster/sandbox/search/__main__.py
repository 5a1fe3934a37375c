"""Start the search service; it listens on the loopback interface only and stops on SIGTERM."""

from __future__ import annotations

import argparse
import logging
import sys

import uvicorn

from archon_dagster.sandbox.search.app import create_app
from archon_dagster.sandbox.search.settings import SearchSettings


def main() -> None:
    parser = argparse.ArgumentParser(prog="archon-search", description="The sandbox's search service.")
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # log_config=None: uvicorn's lines go through the handler above, to standard output
    app = create_app(SearchSettings.from_environment())
    uvicorn.run(app, host="127.0.0.1", port=port, log_config=None, access_log=False, timeout_graceful_shutdown=5)


if __name__ == "__main__":
    main()
