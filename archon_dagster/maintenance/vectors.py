"""Optimise Qdrant's collections: wake the optimizers, and wait until they are done.

There is no "optimise now": a PATCH of the optimizers' configuration that changes nothing wakes them (also after a
restart, when a collection is *grey*), and the status is green again when they have no work left. What the server merges
or indexes is its own decision; the segments before and after say what it did.
"""

from __future__ import annotations

import time
from typing import Any

from archon_dagster.errors import StoreError
from archon_dagster.maintenance.step import Done, MaintenanceContext
from archon_dagster.stores.vectors.client import Client
from archon_dagster.stores.vectors.transport import Transport

POLL = 0.5  # seconds
_IDLE_LOOKS = 2  # green in a row: the optimizers need a moment to begin


def optimise(context: MaintenanceContext) -> Done:
    """Every collection, one after the other; one that fails does not keep the others from it."""
    operation, settings = context.operation, context.operation.settings
    key = settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key else None
    said, failed = [], []
    with Transport(settings.qdrant_url, key) as transport:
        client = Client(transport, operation.check)
        names = client.collections()
        for name in names:
            try:
                said.append(_one(context, client, name))
            except StoreError as error:
                failed.append(f"{name}: {str(error).splitlines()[0]}")
    if failed:
        raise StoreError(
            f"{len(failed)} of {len(names)} collections were not optimised: {'; '.join(failed)}",
            where=settings.qdrant_url,
            todo="look at the server's log; nothing was lost, the optimizers go on by themselves",
        )
    if not names:
        return Done("there are no collections", idle=True)
    return Done(f"{len(names)} collections are green", tuple(said))


def _one(context: MaintenanceContext, client: Client, name: str) -> str:
    before = client.info(name)
    client.update_collection(name, {"optimizers_config": {}})
    begin = time.monotonic()
    after = _wait(context, client, name)
    seconds = time.monotonic() - begin
    return f"{name}: {_segments(before)} -> {_segments(after)} segments in {seconds:.1f} s"


def _wait(context: MaintenanceContext, client: Client, name: str) -> dict[str, Any]:
    operation, limit = context.operation, context.operation.settings.maintenance_step_limit
    deadline, idle = time.monotonic() + limit, 0
    while True:
        operation.check()
        info = client.info(name)
        status, optimizer = info.get("status"), info.get("optimizer_status", "ok")
        if optimizer != "ok" or status == "red":
            raise StoreError(f"its optimizers failed: status {status}, {optimizer}", where=client.address)
        idle = idle + 1 if status == "green" else 0
        if idle >= _IDLE_LOOKS:
            return info
        if time.monotonic() > deadline:
            raise StoreError(f"its optimizers were not done within {limit:g} s: status {status}", where=client.address)
        operation.cancel.wait(POLL)


def _segments(info: dict[str, Any]) -> str:
    return str(info.get("segments_count", "an unknown number of"))
