"""Does the platform do its work: index a marked document, find *it*, see it in Qdrant, delete it.

The search service answers 200 with no results to any internal failure, so only finding one's own document proves
anything. It has no way to delete, so the document is deleted in Qdrant, in every collection, by its id and by the
project that all such documents belong to: what a restored backup has left goes with the next one. What search indexes
after the end of its test is swept later, see :mod:`archon_dagster.health.late_documents`. One test at a time on this
machine: the sweep of one must not take the document of another.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from filelock import FileLock, Timeout

from archon_dagster.health import late_documents
from archon_dagster.platform.probes import address
from archon_dagster.platform.probes.answer import FAILURES, Unwell, in_words
from archon_dagster.platform.probes.qdrant import connect, path, result
from archon_dagster.platform.probes.web import client
from archon_dagster.platform.services import ARCHON_COLLECTIONS, BY_NAME
from archon_dagster.platform.settings import Settings

PROJECT = "archon-health-check"
"""The ``project_id`` of every document of this test, and of nothing else."""

SEARCH, QDRANT = BY_NAME["archon-search"], BY_NAME["qdrant"]
CLEANUP_LIMIT = 10.0  # seconds
_PAUSE = 0.2  # between two searches


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the test went.

    :param step: the step that failed: ``index``, ``find``, ``see``, ``delete``; empty where none did.
    :param steps: seconds each step took.
    """

    passed: bool
    detail: str
    seconds: float
    step: str = ""
    steps: tuple[tuple[str, float], ...] = ()


class Busy(Exception):
    """Another end-to-end test is running."""


def run_end_to_end(settings: Settings, limit: float = 10.0, document_id: str | None = None) -> Outcome:
    """Make the test once, within about ``limit`` seconds and those of the clean-up.

    :raises Busy: one is running on this home already.
    """
    lock = lock_file(settings.home)
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            return _Test(settings, limit, document_id or f"{PROJECT}-{uuid.uuid4()}").run()
    except Timeout as error:
        raise Busy(f"another end-to-end test is running ({lock})") from error


def sweep_again(settings: Settings, now: float) -> None:
    """Delete what has come after its test; nothing is done while a test is running, which sweeps itself."""
    try:
        with FileLock(lock_file(settings.home), timeout=0):
            sweep(settings)
            late_documents.swept(settings.home, now)
    except Timeout:
        return


class _Test:
    def __init__(self, settings: Settings, limit: float, document_id: str):
        self.settings, self.id = settings, document_id
        self.begun = time.monotonic()
        self.until = self.begun + limit
        self.steps: list[tuple[str, float]] = []
        self.answered = False  # nothing is indexed any more after this
        self.words = f"end-to-end health test {self.id.replace('-', ' ')} {self.id}"

    def run(self) -> Outcome:
        failed: tuple[str, str] | None = None
        late_documents.expect(self.settings.home, time.time())
        try:
            with client(SEARCH, self.settings) as search, connect(QDRANT, self.settings) as qdrant:
                search.timeout = qdrant.timeout = httpx.Timeout(max(0.1, self.until - time.monotonic()))
                for name, act in (
                    ("index", lambda: self._index(search)),
                    ("find", lambda: self._find(search)),
                    ("see", lambda: self._see(qdrant)),
                ):
                    failed = failed or self._step(name, act)
        finally:
            left = self._step("delete", lambda: sweep(self.settings, self.id))
        if self.answered and left is None:
            late_documents.settle(self.settings.home)
        step, detail = failed or left or ("", "")
        if failed and left:
            detail = f"{detail}; and what it left could not be deleted: {left[1]}"
        if not step:
            detail = "a marked document was indexed, found, seen in Qdrant and deleted"
        return Outcome(not step, detail, time.monotonic() - self.begun, step, tuple(self.steps))

    def _step(self, name: str, step: Callable[[], None]) -> tuple[str, str] | None:
        """Name and reason of a failure."""
        begun = time.monotonic()
        try:
            step()
        except (Unwell, *FAILURES, KeyError, TypeError) as error:
            said = str(error) if isinstance(error, Unwell) else in_words(error, self.until - self.begun)
            return name, f"{name}: {said}"
        finally:
            self.steps.append((name, round(time.monotonic() - begun, 4)))
        return None

    def _index(self, search: httpx.Client) -> None:
        body = {
            "document_id": self.id,
            "content": self.words,
            "project_id": PROJECT,
            "source_path": f"{PROJECT}/{self.id}",
            "metadata": {"title": "end-to-end health test"},
        }
        try:
            answer = search.post("/vectorize/document", json=body)
        except httpx.ConnectError:
            self.answered = True  # it was not asked
            raise
        self.answered = not answer.is_server_error  # a balancer may have stopped waiting for it
        if not answer.is_success:
            raise Unwell(f"HTTP {answer.status_code}: {answer.text[:200].strip()}")
        said = answer.json()
        if said.get("success") is not True:
            raise Unwell(f"HTTP 200, but {said.get('error') or str(said)[:200]}")

    def _find(self, search: httpx.Client) -> None:
        """Search until the document itself is among the results."""
        query = {
            "query": f"end-to-end health test {self.id.replace('-', ' ')} {self.id}",
            "mode": "semantic",
            "limit": 10,
        }
        pause = threading.Event()
        while True:
            answer = search.post("/search", json=query)
            if not answer.is_success:
                raise Unwell(f"HTTP {answer.status_code}: {answer.text[:200].strip()}")
            found: list[dict[str, Any]] = answer.json()["results"]
            if any(hit.get("entity_id") == self.id for hit in found):
                return
            if time.monotonic() + _PAUSE > self.until:
                raise Unwell(f"HTTP 200, but the document is not among the {len(found)} results")
            pause.wait(_PAUSE)

    def _see(self, qdrant: httpx.Client) -> None:
        wanted = {"filter": {"must": [_is("entity_id", self.id)]}, "limit": 1, "with_payload": False}
        for name in _collections(qdrant):
            if result(qdrant, "POST", path(name, "points", "scroll"), wanted)["points"]:
                return
        raise Unwell(f"the document is in none of Qdrant's collections at {address(QDRANT, self.settings)}")


def sweep(settings: Settings, document_id: str | None = None, limit: float = CLEANUP_LIMIT) -> None:
    """Delete the documents of end-to-end tests, whoever left them, and make sure that they are gone."""
    ours = [_is("project_id", PROJECT)] + ([_is("entity_id", document_id)] if document_id else [])
    with connect(QDRANT, settings) as qdrant:
        qdrant.timeout = httpx.Timeout(limit)
        for name in _collections(qdrant):
            result(qdrant, "POST", path(name, "points", "delete?wait=true"), {"filter": {"should": ours}})
            body = {"filter": {"should": ours}, "exact": True}
            left = result(qdrant, "POST", path(name, "points", "count"), body)["count"]
            if left:
                raise Unwell(f"{left} documents of end-to-end tests are still in {name}")


def _collections(qdrant: httpx.Client) -> list[str]:
    there = {str(entry["name"]) for entry in result(qdrant, "GET", "/collections")["collections"]}
    return [name for name in ARCHON_COLLECTIONS if name in there]


def _is(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "match": {"value": value}}


def lock_file(home: Path) -> Path:
    """The lock that a running test holds."""
    return home / "health" / "end-to-end.lock"
