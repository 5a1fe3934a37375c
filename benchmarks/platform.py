"""A whole platform: backup and restore with their parts, graph and vector rates, and what searchers notice of it."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.context import OperationContext, open_context
from archon_dagster.repository.manifest import Manifest
from archon_dagster.restore.restore import CONFIRMATION, RestoreRequest, restore_backup
from archon_dagster.sandbox import lifecycle
from archon_dagster.sandbox.seed import seed
from archon_dagster.stores.base import StoreName
from benchmarks import graph_load
from benchmarks.measure import timed

_SEARCHES = 150
_SEARCH_LIMIT = 60.0  # seconds
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
            self._searchers(context)
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
            "seconds": time.perf_counter() - started, "parts": result.seconds, "bytes": manifest.bytes_read,
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

    def _searchers(self, context: OperationContext) -> None:
        """Latency of searches without and with a backup beside them."""
        alone = self._search(context)
        enough = threading.Event()

        def backups() -> None:
            while not enough.is_set():
                take_backup(context, BackupRequest(quiesce=False))

        beside = threading.Thread(target=backups)
        beside.start()
        try:
            busy = self._search(context)
        finally:
            enough.set()
            beside.join()
        self.facts["search_milliseconds"] = {"alone": alone, "beside a backup": busy}

    def _search(self, context: OperationContext) -> dict[str, float]:
        taken: list[float] = []
        deadline = time.monotonic() + _SEARCH_LIMIT
        url = context.settings.qdrant_url
        vector = [((number * 31) % 97 - 48) / 97 for number in range(context.settings.embedding_dimensions)]
        with httpx.Client(base_url=url, timeout=30.0, trust_env=False) as client:
            while len(taken) < _SEARCHES and time.monotonic() < deadline:
                started = time.perf_counter()
                client.post("/collections/archon_vectors/points/query", json={"query": vector, "limit": 10})
                taken.append(1000 * (time.perf_counter() - started))
        cuts = statistics.quantiles(taken, n=20)
        return {"p50": statistics.median(taken), "p95": cuts[18], "searches": len(taken)}


def _records(context: OperationContext, store: StoreName) -> int:
    """Points, or nodes and relationships, that are in a store now."""
    return sum(context.stores[store].describe().counts.values())
