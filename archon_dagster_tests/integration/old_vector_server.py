"""A stand-in for Qdrant 1.7.4 that answers as the recorded one did, over one of its real snapshots.

It has the routes of that version and no other, ignores checksums, writes ``null`` where newer servers leave a field
out, keeps what is uploaded to it, and restores the points that a snapshot file was made of. A request body sent to a
route it does not have is remembered: the real one would leave the next request on that connection hanging.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from archon_dagster_tests.unit.vector_data import SMALL

S = TypeVar("S", bound="OldServer")
Answer = tuple[int, Any]
Points = dict[int, dict[str, Any]]


def recorded_info() -> dict[str, Any]:
    """What the recorded server said of an empty collection of 1,536 dimensions."""
    for line in (SMALL / "v1.7.4" / "transcript.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if entry["note"] == "info" and entry["path"] == "/collections/archon_vectors":
            return dict(entry["answer"]["result"])
    raise AssertionError("not recorded")


@dataclass
class OldServer:
    """Its state; ``after_snapshot`` is called when one has just been made, as a writer would be."""

    snapshot: bytes
    url: str = ""
    collections: dict[str, Points] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    uploads: list[str] = field(default_factory=list)
    held: Points = field(default_factory=dict)
    after_snapshot: Callable[[OldServer], None] = lambda _: None

    def fill(self, collection: str, count: int) -> None:
        self.collections[collection] = {
            number: {"id": number, "payload": {"n": number}, "vector": [1.0, float(number)]} for number in range(count)
        }

    def answer(self, method: str, target: str, body: bytes) -> Answer:
        path = urlsplit(target).path
        for verb, pattern, function in _ROUTES:
            found = re.fullmatch(pattern, path)
            if found and verb == method:
                return function(self, *map(unquote, found.groups()), body)
        if body:
            self.unknown.append(f"{method} {path}")
        return 404, b""

    def _root(self, _: bytes) -> Answer:
        return 200, {"title": "qdrant - vector search engine", "version": "1.7.4"}

    def _cluster(self, _: bytes) -> Answer:
        return 200, {"result": {"status": "disabled"}}

    def _list(self, _: bytes) -> Answer:
        return 200, {"result": {"collections": [{"name": name} for name in self.collections]}}

    def _aliases(self, _: bytes) -> Answer:
        return 200, {"result": {"aliases": []}}

    def _info(self, name: str, _: bytes) -> Answer:
        if name not in self.collections:
            return 404, {"status": {"error": f"Not found: Collection `{name}` doesn't exist!"}}
        return 200, {"result": recorded_info() | {"points_count": len(self.collections[name])}}

    def _create(self, name: str, _: bytes) -> Answer:
        self.collections[name] = {}
        return 200, {"result": True}

    def _patch(self, name: str, _: bytes) -> Answer:
        return 200, {"result": name in self.collections}

    def _delete(self, name: str, _: bytes) -> Answer:
        return 200, {"result": self.collections.pop(name, None) is not None}

    def _count(self, name: str, _: bytes) -> Answer:
        return 200, {"result": {"count": len(self.collections[name])}}

    def _scroll(self, name: str, body: bytes) -> Answer:
        asked = json.loads(body)
        points = [p for p in self.collections[name].values() if p["id"] >= (asked["offset"] or 0)]
        page, rest = points[: asked["limit"]], points[asked["limit"] :]
        if not asked["with_vector"]:
            page = [{"id": p["id"], "payload": None, "vector": None} for p in page]
        return 200, {"result": {"points": page, "next_page_offset": rest[0]["id"] if rest else None}}

    def _search(self, name: str, body: bytes) -> Answer:
        wanted = json.loads(body)["vector"]
        hits = [p for p in self.collections[name].values() if p["vector"] == wanted]
        return 200, {"result": [{"id": p["id"], "score": 0.99999994, "payload": None, "vector": None} for p in hits]}

    def _snapshots(self, name: str, _: bytes) -> Answer:
        if name not in self.collections:
            return 404, {"status": {"error": f"Not found: Collection `{name}` doesn't exist!"}}
        return 200, {"result": [{"name": f, "size": len(data)} for f, data in self.files.get(name, {}).items()]}

    def _snapshot(self, name: str, _: bytes) -> Answer:
        self.held = dict(self.collections[name])
        file = f"{name}-1-2026-11-24-14-22-09.snapshot"
        self.files.setdefault(name, {})[file] = self.snapshot
        self.after_snapshot(self)
        return 200, {"result": {"name": file, "size": len(self.snapshot)}}

    def _download(self, name: str, file: str, _: bytes) -> Answer:
        return 200, self.files[name][file]

    def _remove(self, name: str, file: str, _: bytes) -> Answer:
        found = name in self.collections and self.files.get(name, {}).pop(file, None) is not None
        return (200, {"result": True}) if found else (404, {"status": {"error": f"Not found: Snapshot {file}"}})

    def _upload(self, name: str, body: bytes) -> Answer:
        head, _, rest = body.partition(b"\r\n\r\n")
        file = re.search(rb'name="snapshot"; filename="([^"]+)"', head)
        assert file, head[:500]
        data = rest[: rest.rindex(b"\r\n--")]
        self.uploads.append(name)
        self.files.setdefault(name, {})[file[1].decode()] = data
        if hashlib.sha256(data).digest() != hashlib.sha256(self.snapshot).digest():
            return 500, {"status": {"error": "Service internal error: File IO error: failed to iterate over archive"}}
        self.collections[name] = dict(self.held)
        return 200, {"result": True}


_NAME = "/collections/([^/]+)"
_ROUTES: list[tuple[str, str, Callable[..., Answer]]] = [
    ("GET", "/", OldServer._root), ("GET", "/cluster", OldServer._cluster), ("GET", "/aliases", OldServer._aliases),
    ("GET", "/collections", OldServer._list), ("GET", _NAME, OldServer._info), ("PUT", _NAME, OldServer._create),
    ("PATCH", _NAME, OldServer._patch), ("DELETE", _NAME, OldServer._delete),
    ("POST", f"{_NAME}/points/count", OldServer._count), ("POST", f"{_NAME}/points/scroll", OldServer._scroll),
    ("POST", f"{_NAME}/points/search", OldServer._search), ("GET", f"{_NAME}/snapshots", OldServer._snapshots),
    ("POST", f"{_NAME}/snapshots", OldServer._snapshot), ("POST", f"{_NAME}/snapshots/upload", OldServer._upload),
    ("GET", f"{_NAME}/snapshots/([^/]+)", OldServer._download),
    ("DELETE", f"{_NAME}/snapshots/([^/]+)", OldServer._remove),
]  # fmt: skip


@contextmanager
def old_server(snapshot: Path, kind: type[S] = OldServer) -> Iterator[S]:  # type: ignore[assignment]
    """The server, listening, until the block is left."""
    state = kind(snapshot.read_bytes())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            status, content = state.answer(
                self.command, self.path, self.rfile.read(int(self.headers.get("content-length") or 0))
            )
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
