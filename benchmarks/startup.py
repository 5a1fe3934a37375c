"""A platform from nothing to healthy: how long until every service says so, where fixed sleeps would take 75 s."""

from __future__ import annotations

import os
import statistics
import threading
from pathlib import Path
from typing import Any

from archon_dagster.sandbox import lifecycle
from archon_dagster.sandbox.seed import seed
from archon_dagster.startup.cold_start import CONFIRMATION, ColdStartRequest, cold_start
from archon_dagster.startup.context import open_start
from archon_dagster.startup.report import Report
from benchmarks.measure import timed

RUNBOOK_FLOOR = 30.0 + 45.0  # seconds its start scripts sleep, however fast the services are
WANTED = 15.0  # seconds from cold to all healthy


def run(home: Path, rounds: int) -> dict[str, Any]:
    """Medians over some rounds, in seconds: the first start with empty data, then cold starts of a filled platform."""
    first = timed(lambda: lifecycle.up(home, owner_pid=os.getpid()))
    try:
        sandbox = lifecycle.Sandbox(home)
        seed(sandbox.settings, sandbox.runtime, limit=40, max_points=200)
        reports = [_cold(sandbox) for _ in range(rounds)]
    finally:
        lifecycle.down(home)
    healthy = statistics.median(report.started.seconds for report in reports)
    return {
        "first_start_with_new_data": first,
        "cold_to_healthy": healthy,
        "whole_cold_start_with_counts_and_test": statistics.median(report.seconds for report in reports),
        "slowest_service": max(reports[-1].started.services, key=lambda one: one.seconds).service,
        "wanted": WANTED,
        "runbook_cannot_be_faster_than": RUNBOOK_FLOOR,
    }


def _cold(sandbox: lifecycle.Sandbox) -> Report:
    report = cold_start(open_start(sandbox.settings, threading.Event()), ColdStartRequest(CONFIRMATION))
    report.raise_for_failure()
    return report
