"""How long requests took: for Prometheus, and for the performance baseline."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import defaultdict, deque

from starlette.types import ASGIApp, Receive, Scope, Send

METRIC = "archon_http_request_duration_seconds"
_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_KEPT = 1000  # the latest durations, for the percentiles
_LIMIT = 100  # paths that are told apart; further ones are one


class Timings:
    """Durations of requests in seconds, by method and path."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * (len(_BOUNDS) + 1))
        self._sums: dict[tuple[str, str], float] = defaultdict(float)
        self._latest: deque[float] = deque(maxlen=_KEPT)

    def add(self, method: str, path: str, seconds: float) -> None:
        key = (method, path)
        if key not in self._sums and len(self._sums) >= _LIMIT:
            key = (method, "other")
        self._counts[key][bisect_left(_BOUNDS, seconds)] += 1
        self._sums[key] += seconds
        self._latest.append(seconds)

    def summary(self) -> dict[str, float | int]:
        """The fields of a baseline; zeros before the first request."""
        ordered = sorted(self._latest) or [0.0]

        def at(share: float) -> float:
            return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 3)

        return {
            "average_response_time_ms": round(sum(ordered) / len(ordered) * 1000, 3),
            "p50_ms": at(0.50),
            "p95_ms": at(0.95),
            "p99_ms": at(0.99),
            "sample_size": len(self._latest),
        }

    def exposition(self) -> str:
        """A histogram in Prometheus' text format."""
        lines = [f"# HELP {METRIC} Duration of HTTP requests.", f"# TYPE {METRIC} histogram"]
        for (method, path), counts in sorted(self._counts.items()):
            labels, total = f'method="{method}",path="{_escaped(path)}"', 0
            for bound, count in zip((*map(str, _BOUNDS), "+Inf"), counts, strict=True):
                total += count
                lines.append(f'{METRIC}_bucket{{{labels},le="{bound}"}} {total}')
            lines.append(f"{METRIC}_sum{{{labels}}} {self._sums[method, path]}")
            lines.append(f"{METRIC}_count{{{labels}}} {total}")
        return "\n".join([*lines, ""])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class Timed:
    """Measures every request of an application."""

    def __init__(self, app: ASGIApp, timings: Timings):
        self._app, self._timings = app, timings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begin = time.perf_counter()
        try:
            await self._app(scope, receive, send)
        finally:
            if scope["type"] == "http":
                self._timings.add(scope["method"], scope["path"], time.perf_counter() - begin)
