"""Endpoints for snapshots.

With ``wait=false`` the answer is 202 before anything has happened, and errors are only logged.
"""

import asyncio
import logging
import re
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from archon_dagster.sandbox.vectors import http, recovery, snapshots
from archon_dagster.sandbox.vectors.body import required
from archon_dagster.sandbox.vectors.errors import BadRequest, NotFound, ServerError
from archon_dagster.sandbox.vectors.http import Call, Endpoint
from archon_dagster.sandbox.vectors.registry import Registry

log = logging.getLogger(__name__)
READ_SIZE = 1 << 18
RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class SnapshotEndpoints:
    """The endpoints, and the work that goes on after an answer of 202."""

    def __init__(self, registry: Registry):
        self._registry = registry
        self._background: set[asyncio.Task[None]] = set()

    def routes(self) -> list[Route]:
        base = "/collections/{name}/snapshots"
        named = f"{base}/{{snapshot:path}}"
        return [
            Route(base, self.create, methods=["POST"]),
            Route(base, http.answering(self._registry, _listed), methods=["GET"]),
            Route(f"{base}/upload", self.upload, methods=["POST"]),
            Route(f"{base}/recover", self.recover, methods=["PUT"]),
            Route(named, self.download, methods=["GET"]),
            Route(named, self._delete_endpoint(), methods=["DELETE"]),
        ]

    async def create(self, request: Request) -> Response:
        name = request.path_params["name"]
        return await self._run(request, lambda: snapshots.create(self._registry, self._registry.get(name)))

    async def recover(self, request: Request) -> Response:
        started, raw = time.perf_counter(), await request.body()

        def work() -> bool:
            body = Call(self._registry, {}, {}, raw).body
            required(body, "location")
            recovery.check_priority(body.get("priority"))
            recovery.recover_from(self._registry, request.path_params["name"], body)
            return True

        return await self._run(request, work, started)

    async def upload(self, request: Request) -> Response:
        """Read the whole upload, then restore from it; the file stays on the server."""
        started = time.perf_counter()
        form = await request.form()
        given = form.get("snapshot")
        if not isinstance(given, UploadFile):
            await form.close()
            return http.failure(BadRequest("Field `snapshot` is required"), started)
        scratch = tempfile.TemporaryDirectory(dir=self._registry.temporary, prefix="upload-")
        received = Path(scratch.name) / "received"
        try:
            await run_in_threadpool(_copy, given.file, received)
        except OSError:
            scratch.cleanup()
            raise
        finally:
            await form.close()

        def work() -> bool:
            with scratch:
                _restore_upload(self._registry, request, given.filename or "", received)
            return True

        return await self._run(request, work, started)

    async def _run(self, request: Request, work: Callable[[], Any], started: float | None = None) -> Response:
        started = time.perf_counter() if started is None else started
        if request.query_params.get("wait", "true") == "false":
            task = asyncio.create_task(self._quietly(work))
            self._background.add(task)
            task.add_done_callback(self._background.discard)
            return http.accepted(started)
        task_running = asyncio.ensure_future(run_in_threadpool(work))
        try:
            return http.success(await asyncio.shield(task_running), started)
        except ServerError as error:
            return http.failure(error, started)

    async def _quietly(self, work: Callable[[], Any]) -> None:
        try:
            await run_in_threadpool(work)
        except (ServerError, OSError) as error:
            log.error("in the background: %s", error)

    async def download(self, request: Request) -> Response:
        """The file, or the part a ``Range`` asks for; errors are text here, not JSON."""
        name = self._registry.resolved(request.path_params["name"])
        try:
            path = snapshots.find(self._registry, name, request.path_params["snapshot"])
        except NotFound as error:
            return PlainTextResponse(str(error), 404)
        return _file_answer(path, request.headers.get("range"))

    def _delete_endpoint(self) -> Endpoint:
        def delete(call: Call) -> bool:
            name = call.registry.get(call.path["name"]).name
            snapshots.delete(call.registry, name, call.path["snapshot"])
            return True

        return http.answering(self._registry, delete)


def _listed(call: Call) -> Any:
    return snapshots.listed(call.registry, call.registry.get(call.path["name"]).name)


def _copy(source: BinaryIO, target: Path) -> None:
    source.seek(0)
    with target.open("wb") as file:
        while piece := source.read(READ_SIZE):
            file.write(piece)


def _restore_upload(registry: Registry, request: Request, filename: str, received: Path) -> None:
    recovery.check_priority(request.query_params.get("priority"))
    recovery.check_digest(received, request.query_params.get("checksum"))
    name = registry.resolved(request.path_params["name"])
    kept = snapshots.keep_upload(registry, name, filename, received)
    recovery.recover(registry, name, kept)


def _disposition(name: str) -> str:
    """A header takes printable Latin-1 only; other names go in the extended form."""
    if name.isascii() and name.isprintable():
        return f'attachment; filename="{name}"'
    return f"attachment; filename*=UTF-8''{quote(name)}"


def _file_answer(path: Path, wanted: str | None) -> Response:
    size = path.stat().st_size
    headers = {
        "accept-ranges": "bytes",
        "content-disposition": _disposition(path.name),
        "etag": f'"{path.stat().st_ino:x}:{size:x}:{path.stat().st_mtime_ns:x}"',
        "content-type": "application/octet-stream",
    }
    start, end = _bounds(wanted, size)
    if start >= size > 0 or start >= end:
        return Response(status_code=416, headers={**headers, "content-range": f"bytes */{size}"})
    headers["content-length"] = str(end - start)
    if wanted is not None:
        headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
    return StreamingResponse(_pieces(path, start, end), 206 if wanted else 200, headers)


def _bounds(wanted: str | None, size: int) -> tuple[int, int]:
    """First byte and the one after the last; an empty range stands for one that cannot be satisfied."""
    if wanted is None:
        return 0, size
    match = RANGE.fullmatch(wanted.strip())
    if match is None or match.group(1) == match.group(2) == "":
        return 0, 0
    first, last = match.groups()
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1 if last else size)


async def _pieces(path: Path, start: int, end: int) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while start < end:
            piece = await run_in_threadpool(file.read, min(READ_SIZE, end - start))
            if not piece:
                return
            start += len(piece)
            yield piece
