"""What makes a process of a service: its logging, its orders, its loopback port, its end on SIGTERM."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from archon_dagster.sandbox import misbehaviour
from archon_dagster.sandbox.misbehaviour import How
from archon_dagster.sandbox.ports import LOOPBACK

if TYPE_CHECKING:
    from starlette.applications import Starlette

Create = Callable[[Mapping[str, str]], "Starlette"]
"""Makes a service from its environment."""

CRASHED = 70
GRACE = 3  # seconds that open requests get at shutdown


def run(service: str, port: int, find: Callable[[], Create]) -> int:
    """Serve until SIGTERM; returns the exit code.

    :param find: imports the service; not called by one that has been told to crash.
    """
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    log = logging.getLogger(service)
    file = os.environ.get(misbehaviour.VARIABLE)
    order = misbehaviour.read(Path(file)) if file else None
    if order is not None and order.how is How.crash:
        log.critical("cannot start: told to crash")
        return CRASHED
    import uvicorn

    app = find()(os.environ)
    for chatty in ("httpx", "neo4j"):  # what they have to say about a neighbour that is down, the service says itself
        logging.getLogger(chatty).setLevel(logging.CRITICAL if chatty == "neo4j" else logging.WARNING)
    # log_config=None: uvicorn's lines go through the handler above, to standard output
    uvicorn.run(
        app, host=LOOPBACK, port=port, log_config=None, access_log=False, timeout_graceful_shutdown=GRACE,
        loop="asyncio", http="h11", ws="none",
    )  # fmt: skip
    return 0
