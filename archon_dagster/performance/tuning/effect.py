"""What a collection is like: measured before a change and after it."""

from __future__ import annotations

import threading
import time
from typing import Any

from pydantic import BaseModel, ConfigDict

from archon_dagster.errors import StoreError
from archon_dagster.performance.sampling import take
from archon_dagster.performance.vectors import numbers, question
from archon_dagster.platform.settings import Settings
from archon_dagster.stores.vectors.client import Client

_POLL = 0.5  # seconds
_IDLE_LOOKS = 2  # green in a row: the optimizers need a moment to begin


class Effect(BaseModel):
    """Times in milliseconds; ``None`` where the collection holds nothing that could be searched for."""

    model_config = ConfigDict(frozen=True)

    p50: float | None = None
    p95: float | None = None
    segments: float | None = None
    indexed: float | None = None
    settled: bool = True

    @property
    def text(self) -> str:
        """In a line."""
        times = f"p50 {self.p50:.1f} ms, p95 {self.p95:.1f} ms" if self.p50 is not None and self.p95 is not None else ""
        parts = [times or "nothing to search for"]
        parts += [f"{self.segments:.0f} segments"] if self.segments is not None else []
        parts += [f"{self.indexed:.0%} indexed"] if self.indexed is not None else []
        parts += [] if self.settled else ["the optimizers are still at work"]
        return ", ".join(parts)


def measure(client: Client, collection: str, settings: Settings, cancel: threading.Event, *, settled: bool) -> Effect:
    """The collection now."""
    info = client.info(collection)
    said, ask = numbers(info), question(client, collection, info)
    effect = Effect(segments=said.get("segments"), indexed=said.get("indexed"), settled=settled)
    if ask is None:
        return effect
    sample = take(ask, settings.performance_samples, settings.performance_seconds, cancel)
    if not sample.times:
        raise StoreError(f"{collection} could not be searched: {sample.why}", where=client.address)
    times = {name: round(sample.quantile(share) * 1000, 3) for name, share in (("p50", 0.5), ("p95", 0.95))}
    return effect.model_copy(update=times)


def settle(client: Client, collection: str, limit: float, cancel: threading.Event) -> bool:
    """Wait until the optimizers have no work left; ``False`` where they still have after ``limit`` seconds."""
    deadline, idle = time.monotonic() + limit, 0
    while True:
        info = client.info(collection)
        require_well(collection, info, client.address)
        idle = idle + 1 if info.get("status") == "green" else 0
        if idle >= _IDLE_LOOKS:
            return True
        if time.monotonic() > deadline:
            return False
        client.check()
        cancel.wait(_POLL)


def require_well(collection: str, info: dict[str, Any], where: str) -> None:
    """Raise where a collection's optimizers have failed."""
    if info.get("status") == "red" or info.get("optimizer_status", "ok") != "ok":
        said = info.get("optimizer_status")
        raise StoreError(f"the optimizers of {collection} failed: {said}", where=where, todo="see the server's log")
