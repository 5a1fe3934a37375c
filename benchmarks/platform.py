"""A whole platform: backup and restore with their parts, graph and vector rates, and what searchers notice of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.context import OperationContext, open_context
from archon_dagster.repository.manifest import Manifest
from archon_dagster.restore.restore import CONFIRMATION, RestoreRequest, restore_backup
from archon_dagster.sandbox import lifecycle
from archon_dagster.sandbox.seed import seed
from archon_dagster.stores.base import StoreName
from benchmarks import graph_load, searchers
from benchmarks.measure import timed

_RATED: tuple[StoreName, ...] = ("vectors", "graph")


class PlatformBenchmark:
    """Everything on one sandbox; all figures go into ``facts``."""

    def __init__(self, home: Path, files: int, points: int):
        self.home, self.files, self.points = home, files, points
        self.facts: dict[str, Any] = {}

    def run(self) -> None:
        with self._platform() as context:
            report = seed(context.settings, context.runtime, limit=self.files, max_points=self.points)
            self.facts["content"] = {
                "points": sum(report.points.values()),
                "nodes": report.nodes,
                "relationships": report.relationships,
                "rows": sum(report.rows.values()),
            }
            manifest = self._backup(context)
            self._exports(context)
            self._fingerprints(context)
            self.facts["search_milliseconds"] = searchers.run(context)
            self._restores(context, manifest)
            self.facts["graph_load"] = graph_load.run(context, manifest)

    @contextmanager
    def _platform(self) -> Iterator[OperationContext]:
        sandbox = lifecycle.up(self.home, owner_pid=os.getpid())
        try:
            yield open_context(sandbox.settings)
        finally:
            lifecycle.down(self.home)

    def _backup(self, context: OperationContext) -> Manifest:
        started = time.perf_counter()
        result = take_backup(context, BackupRequest())
        manifest = result.manifest
        self.facts["backup"] = {
            "seconds": time.perf_counter() - started, "parts": result.seconds,
            "export_went_into": result.parts, "bytes": manifest.bytes_read,
            "writers_paused": (manifest.window.end - manifest.window.start).total_seconds(),
            "again": timed(lambda: take_backup(context, BackupRequest())),
        }  # fmt: skip
        return manifest

    def _exports(self, context: OperationContext) -> None:
        """Out of the servers and into chunks, into a backup that is given up then."""
        rates: dict[str, float] = {}
        for name in _RATED:
            with context.work() as work, context.repository.begin("manual") as pending:
                rates[name] = _records(context, name) / timed(partial(context.stores[name].export, pending, work))
        self.facts["exported_per_second"] = rates

    def _fingerprints(self, context: OperationContext) -> None:
        rates: dict[str, float] = {}
        for name in _RATED:
            with context.work() as work:
                rates[name] = _records(context, name) / timed(partial(context.stores[name].fingerprint, work))
        self.facts["live_fingerprint_per_second"] = rates

    def _restores(self, context: OperationContext, manifest: Manifest) -> None:
        result = restore_backup(context, RestoreRequest(manifest.id, CONFIRMATION))
        self.facts["restore"] = {"seconds": result.rto, "parts": result.seconds}
        rates = {}
        for name in _RATED:
            records = sum(sum(artifact.counts.values()) for artifact in manifest.of_store(name))
            with context.work() as work:
                source = context.repository.source(manifest)
                rates[name] = records / timed(partial(context.stores[name].restore, source, work))
        self.facts["restored_per_second"] = rates


def _records(context: OperationContext, store: StoreName) -> int:
    """Points, or nodes and relationships, that are in a store now."""
    return sum(context.stores[store].describe().counts.values())
