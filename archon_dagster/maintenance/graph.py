"""Let the graph server give memory back to the system. Memgraph has a statement for it; other servers have not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from archon_dagster.errors import StoreError
from archon_dagster.maintenance.step import Done, MaintenanceContext
from archon_dagster.stores.graph.connection import Bolt
from archon_dagster.stores.graph.dialect import choose
from archon_dagster.stores.graph.driver import Endpoint, open_driver
from archon_dagster.stores.graph.memgraph import Memgraph


def free_memory(context: MaintenanceContext, driver: Callable[[Endpoint, float], Any] = open_driver) -> Done:
    """``FREE MEMORY``, with the server's own numbers before and after."""
    settings = context.operation.settings
    endpoint = Endpoint(
        settings.memgraph_uri, settings.memgraph_user, settings.memgraph_password.get_secret_value(),
        settings.memgraph_database,
    )  # fmt: skip
    with context.operation.work() as work, Bolt(endpoint, work, driver) as bolt:
        dialect = choose(bolt)
        if not isinstance(dialect, Memgraph):
            return Done(f"not applicable: {dialect} has no such statement", idle=True)
        before = _resident(bolt)
        bolt.rows("FREE MEMORY", "free memory")
        return Done(f"resident memory {before} -> {_resident(bolt)}")


def _resident(bolt: Bolt) -> str:
    try:
        rows = {str(key): value for key, value in bolt.rows("SHOW STORAGE INFO", "read the storage information")}
    except StoreError:
        return "unknown"
    return str(rows.get("memory_res", rows.get("memory_usage", "unknown")))
