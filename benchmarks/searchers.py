"""What searchers notice of a backup: of Qdrant itself, and of archon-search as a user asks it.

The searches come at a fixed rate whether or not the last one was answered, and each is timed from the moment it was
due. Someone who waits for an answer before asking again would ask once in a pause in which seventy users had waited.
They run in a process of their own, so that the backup does not take their time in ours.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.context import OperationContext
from archon_dagster.performance.response_times import QUERIES
from archon_dagster.platform.probes import address
from archon_dagster.platform.services import BY_NAME
from archon_dagster.platform.settings import Settings
from archon_dagster.sandbox.lifecycle import Sandbox
from benchmarks.repository import ours

_SEARCHES, _EVERY = 400, 0.1  # their number, and seconds between two: 40 s, the time of some backups
_PATIENCE = 90.0  # seconds a search is waited for: more than writers are ever held still
QDRANT, SERVICE = "Qdrant", "archon-search"

Ask = Callable[[httpx.AsyncClient, int], Awaitable[Any]]


def run(context: OperationContext) -> dict[str, Any]:
    """Milliseconds of searches without and with backups beside them, and how many had no result."""
    home = context.settings.home
    found: dict[str, Any] = {}
    for whom, beside, request in (
        (QDRANT, "beside a backup that pauses nobody", BackupRequest(quiesce=False)),
        (SERVICE, "beside a backup, the writers paused", BackupRequest(quiesce=True)),
    ):
        found[f"{whom}, alone"] = ours("search", home, whom)["milliseconds"]
        with _backups(context, request) as held:
            found[f"{whom}, {beside}"] = ours("search", home, whom)["milliseconds"]
        if request.quiesce:
            found["backups beside archon-search"] = {"taken": len(held), "longest_pause": 1000 * max(held)}
    return found


@contextmanager
def _backups(context: OperationContext, request: BackupRequest) -> Iterator[list[float]]:
    """One backup after the other; the seconds of the windows of each. One that fails ends the measurement."""
    enough, held, failed = Event(), list[float](), list[BaseException]()

    def take() -> None:
        try:
            while not enough.is_set():
                window = take_backup(context, request).manifest.window
                held.append((window.end - window.start).total_seconds())
        except BaseException as error:  # noqa: BLE001 - raised below, by the thread that waits
            failed.append(error)

    thread = Thread(target=take, name="backups")
    thread.start()
    try:
        yield held
    finally:
        enough.set()
        thread.join()
    if failed:
        raise failed[0]


def search(home: str, whom: str) -> dict[str, Any]:
    """A verb of :mod:`benchmarks.ours`: send the searches, and tell what they took."""
    settings = Sandbox(Path(home)).settings
    asked: dict[str, tuple[str, Ask]] = {
        QDRANT: (settings.qdrant_url, partial(_ask_qdrant, _vector(settings))),
        SERVICE: (address(BY_NAME["archon-search"], settings), _ask_service),
    }
    url, ask = asked[whom]
    taken = [one for one in asyncio.run(_send(url, ask)) if one is not None]
    answered = {
        "p50": statistics.median(taken), "p95": statistics.quantiles(taken, n=20)[18], "longest": max(taken),
    }  # fmt: skip
    return {"milliseconds": {**answered, "searches": _SEARCHES, "failed": _SEARCHES - len(taken)}}


async def _send(url: str, ask: Ask) -> list[float | None]:
    """Milliseconds of each search from when it was due; ``None`` where it failed."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)  # those who wait share no connection
    async with httpx.AsyncClient(base_url=url, timeout=_PATIENCE, limits=limits, trust_env=False) as client:
        begin = time.monotonic()
        return await asyncio.gather(*(_one(client, ask, begin + n * _EVERY, n) for n in range(_SEARCHES)))


async def _one(client: httpx.AsyncClient, ask: Ask, due: float, number: int) -> float | None:
    await asyncio.sleep(due - time.monotonic())
    try:
        found = await ask(client, number)
    except httpx.HTTPError:
        return None
    return 1000 * (time.monotonic() - due) if found else None


async def _ask_qdrant(vector: list[float], client: httpx.AsyncClient, _: int) -> Any:
    answer = await client.post("/collections/archon_vectors/points/query", json={"query": vector, "limit": 10})
    return answer.raise_for_status().json()["result"]["points"]


async def _ask_service(client: httpx.AsyncClient, number: int) -> Any:
    """It answers 200 without a result where it has failed."""
    query = {"query": QUERIES[number % len(QUERIES)], "mode": "semantic", "limit": 10}
    return (await client.post("/search", json=query)).raise_for_status().json()["results"]


def _vector(settings: Settings) -> list[float]:
    return [((number * 31) % 97 - 48) / 97 for number in range(settings.embedding_dimensions)]
