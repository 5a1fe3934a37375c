"""The part of Qdrant's REST API that operations need, typed, for servers from 1.7 on."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any

from archon_dagster.errors import StoreError
from archon_dagster.stores.leaving import Leaving
from archon_dagster.stores.vectors import waiting
from archon_dagster.stores.vectors.transport import Refused, Transport, path
from archon_dagster.stores.vectors.version import Version
from archon_dagster.stores.vectors.waiting import Check, Pace


@dataclass(frozen=True, slots=True)
class ServerSnapshot:
    """A snapshot file on the server. ``checksum`` (SHA-256, hex) is ``None`` on servers before 1.8."""

    collection: str
    name: str
    size: int
    checksum: str | None
    created: str | None = None


class Client:
    """One server. Every method may raise :class:`StoreUnavailable` or :class:`Refused`.

    :param check: polled while waiting for any answer; raises to stop.
    :param leaving: the moment that cleaning up has after a cancel.
    """

    def __init__(self, transport: Transport, check: Check = waiting.never, *, leaving: Leaving | None = None) -> None:
        self._http, self._check = transport, check
        self._leaving = leaving or Leaving(check)

    def uninterrupted(self) -> Client:
        """The same server, for what must be done although the run was cancelled."""
        return Client(self._http)

    def tidying(self) -> Client:
        """The same server, for cleaning up: it goes on although the run was cancelled, but only for a moment."""
        return Client(self._http, self._leaving.check, leaving=self._leaving)

    @property
    def address(self) -> str:
        return self._http.address

    @property
    def check(self) -> Check:
        return self._check

    @cached_property
    def version(self) -> Version:
        """What ``GET /`` says, asked once."""
        answer = self._get("/")
        try:
            return Version.parse(str(answer["version"]))
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                "this is not a Qdrant server: GET / does not tell a version",
                where=self.address,
                todo="check QDRANT_URL",
            ) from error

    def cluster_enabled(self) -> bool:
        """Whether the server is a node of a cluster."""
        return bool(self._get("/cluster").get("status") == "enabled")

    def collections(self) -> list[str]:
        """Names of all collections, sorted."""
        return sorted(str(entry["name"]) for entry in self._get("/collections")["collections"])

    def info(self, collection: str) -> dict[str, Any]:
        """Status, configuration and payload schema of a collection; 500 where its shard is dead."""
        return dict(self._get(path("collections", collection)))

    def count(self, collection: str) -> int:
        """The exact number of points."""
        target = path("collections", collection, "points", "count")
        return int(self._ask(target, {"exact": True}, patience=120.0)["count"])

    def disk_bytes(self, collection: str) -> int | None:
        """Bytes on disk, where the server tells (1.18 and later)."""
        if not self.version.tells_disk_use:
            return None
        try:
            return int(self._get(path("collections", collection, "memory"))["total"]["disk_bytes"])
        except (Refused, KeyError, TypeError):
            return None  # an undocumented route, which may be gone or answer differently in the next version

    def scroll(
        self, collection: str, page: int, *, content: bool, offset: Any = None
    ) -> tuple[list[dict[str, Any]], Any]:
        """One page of points in id order, and where the next one begins (``None``: there is none)."""
        body = {"limit": page, "with_payload": content, "with_vector": content, "offset": offset}
        answer = self._ask(path("collections", collection, "points", "scroll"), body, patience=120.0)
        return answer["points"], answer.get("next_page_offset")

    def retrieve(self, collection: str, ids: Sequence[Any]) -> list[dict[str, Any]]:
        """The points with these ids, with vectors and payload, in the server's order."""
        body = {"ids": list(ids), "with_payload": True, "with_vector": True}
        return list(self._ask(path("collections", collection, "points"), body, patience=120.0))

    def search(
        self, collection: str, vector: Any, using: str, limit: int, *, exact: bool = True
    ) -> list[dict[str, Any]]:
        """A search without payloads, best hit first."""
        common = {"limit": limit, "params": {"exact": exact}, "with_payload": False}
        if self.version.has_query:
            body = {"query": vector} | ({"using": using} if using else {}) | common
            return list(self._ask(path("collections", collection, "points", "query"), body)["points"])
        named: Any = {"name": using, "vector": vector} if using else vector
        return list(self._ask(path("collections", collection, "points", "search"), {"vector": named} | common))

    def aliases(self) -> dict[str, str]:
        """Alias -> collection, of the whole server."""
        return {str(a["alias_name"]): str(a["collection_name"]) for a in self._get("/aliases")["aliases"]}

    def change_aliases(self, *, delete: Iterable[str] = (), create: Mapping[str, str] | None = None) -> None:
        """Delete and create aliases in one step."""
        actions: list[dict[str, Any]] = [{"delete_alias": {"alias_name": alias}} for alias in delete]
        for alias, collection in (create or {}).items():
            actions.append({"create_alias": {"alias_name": alias, "collection_name": collection}})
        if actions:
            self._http.request("POST", path("collections", "aliases"), body={"actions": actions}, check=self._check)

    def create_collection(self, collection: str, config: Mapping[str, Any]) -> None:
        self._http.request("PUT", path("collections", collection), body=config, patience=60.0, check=self._check)

    def delete_collection(self, collection: str) -> None:
        """Delete a collection; deleting one that is not there, or a dead one, is fine."""
        self._http.request("DELETE", path("collections", collection), patience=120.0, check=self._check)

    def update_collection(self, collection: str, settings: Mapping[str, Any]) -> None:
        """Change settings, e.g. ``{"optimizers_config": …}``."""
        body = dict(settings)
        self._http.request("PATCH", path("collections", collection), body=body, patience=60.0, check=self._check)

    def upsert(self, collection: str, body: bytes, patience: float) -> None:
        """Write the points of a ready request body and wait until they are applied; doing it twice is fine."""
        target = path("collections", collection, "points")
        self._http.request(
            "PUT", target, body=body, params={"wait": "true"}, patience=patience, reads=True, check=self._check
        )  # fmt: skip

    def create_index(self, collection: str, field: str, schema: Any, patience: float) -> None:
        """Create a payload index and wait until it is there."""
        target = path("collections", collection, "index")
        body = {"field_name": field, "field_schema": schema}
        self._http.request(
            "PUT", target, body=body, params={"wait": "true"}, patience=patience, check=self._check
        )  # fmt: skip

    def delete_index(self, collection: str, field: str) -> None:
        target = path("collections", collection, "index", field)
        self._http.request("DELETE", target, params={"wait": "true"}, patience=60.0, check=self._check)

    def snapshots(self, collection: str) -> list[ServerSnapshot]:
        """The snapshot files of a collection; an absent collection has none that can be listed.

        Neither has one whose snapshot directory is gone, as after a container was made anew over its old storage:
        servers differ in what they answer then.
        """
        try:
            return [_snapshot(collection, entry) for entry in self._get(path("collections", collection, "snapshots"))]
        except Refused as error:
            if error.status == 404 or "No such file or directory" in error.said:
                return []
            raise

    def create_snapshot(self, collection: str, *, patience: float) -> ServerSnapshot:
        """Make a snapshot and wait for it (without ``wait`` the server only logs errors).

        After a cancel its answer, which names the file, is waited for a moment.
        """
        answer = self._http.request(
            "POST", path("collections", collection, "snapshots"), params={"wait": "true"}, patience=patience,
            grace=self._leaving.grace, check=self._check,
        )  # fmt: skip
        return _snapshot(collection, answer)

    def delete_snapshot(self, collection: str, name: str) -> None:
        """Delete a snapshot file; one that is not there is fine."""
        target = path("collections", collection, "snapshots", name)
        try:
            self._http.request("DELETE", target, params={"wait": "true"}, check=self._check)
        except Refused as error:
            if error.status != 404:
                raise

    def download_snapshot(self, snapshot: ServerSnapshot, offset: int, pace: Pace) -> Generator[bytes, None, None]:
        """The snapshot's bytes from ``offset`` on; may end before they do. To be closed."""
        target = path("collections", snapshot.collection, "snapshots", snapshot.name)
        return self._http.download(target, offset, self._check, pace)

    def upload_snapshot(
        self, collection: str, name: str, file: IO[bytes], sha256: str, *, patience: float, grace: float | None
    ) -> None:
        """Restore a collection from a file, which the server keeps under ``name`` until it is deleted.

        :param grace: seconds the answer is still waited for when the run is cancelled after the last byte was sent;
            ``None``: only for the moment that every cancelled run has.
        """
        params = {"wait": "true", "priority": "snapshot"}
        if self.version.checks_uploads:
            params["checksum"] = sha256
        target = path("collections", collection, "snapshots", "upload")
        try:
            self._http.upload(
                target, "snapshot", name, file, params=params, patience=patience, check=self._check,
                grace=self._leaving.grace if grace is None else lambda: grace,
            )  # fmt: skip
        finally:
            if grace is not None:
                self._leaving.anew()

    def _get(self, target: str) -> Any:
        return self._http.request("GET", target, reads=True, check=self._check)

    def _ask(self, target: str, body: Any, patience: float = 30.0) -> Any:
        return self._http.request("POST", target, body=body, patience=patience, reads=True, check=self._check)


def _snapshot(collection: str, entry: Mapping[str, Any]) -> ServerSnapshot:
    return ServerSnapshot(
        collection=collection, name=str(entry["name"]), size=int(entry.get("size") or 0),
        checksum=entry.get("checksum"), created=entry.get("creation_time"),
    )  # fmt: skip
