"""One operation on one store of a sandbox that runs; each is a verb of :mod:`benchmarks.ours`, in its own process."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from archon_dagster.context import OperationContext, open_context
from archon_dagster.repository.manifest import Window
from archon_dagster.repository.pending import utc_now
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster.stores.base import StoreName

PORTABLE = "portable"


def export_store(home: str, store: str, how: str = "") -> dict[str, Any]:
    """Out of the server and into a backup of this store alone."""
    context, name = _context(home), cast(StoreName, store)
    version = context.stores[name].describe().version
    with context.work(portable=how == PORTABLE) as work, context.repository.begin("manual") as pending:
        context.stores[name].export(pending, work)
        now = utc_now()
        window = Window(start=now, end=now, consistent=True)
        manifest = pending.seal(window=window, versions={name: version})
    counts = {artifact.name: artifact.counts for artifact in manifest.artifacts}
    return {"backup": manifest.id, "read": manifest.bytes_read, "counts": counts}


def verify_store(home: str, store: str, backup: str) -> dict[str, Any]:
    """Every chunk, and every artifact by the store's own engine."""
    context, name = _context(home), cast(StoreName, store)
    with context.work() as work:
        context.repository.verify(backup, work, record=False).raise_for_damage()
        source = context.repository.source(context.repository.resolve(backup))
        for verdict in context.stores[name].verify(source, work):
            if verdict.state != "verified":
                raise RuntimeError(f"{verdict.artifact} is {verdict.state}: {verdict.detail}")
    return {}


def restore_store(home: str, store: str, backup: str, how: str = "") -> dict[str, Any]:
    """Out of a backup and into the server."""
    context, name = _context(home), cast(StoreName, store)
    source = context.repository.source(context.repository.resolve(backup))
    with context.work(portable=how == PORTABLE) as work:
        context.stores[name].preflight(source, work)
        context.stores[name].restore(source, work)
    return {}


def _context(home: str) -> OperationContext:
    return open_context(Sandbox(Path(home)).settings)
