"""Write the generated collections: points in order, by REST, the next request prepared while the server works.

Points are upserted by their ids, so doing it again changes nothing. Because they come in order, a run that was killed
is taken up a few requests before where the count says it was; if the count is not right in the end, something else has
been at the collection, and all of it is written again.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from archon_dagster.errors import ConfigurationError, StoreError
from archon_dagster.platform.settings import Settings
from archon_dagster.sandbox.seed.scale import points
from archon_dagster.sandbox.seed.scale.collections import ALIASES, MAIN, Collection, collections
from archon_dagster.sandbox.seed.scale.refusals import Refusals
from archon_dagster.stores.base import Progress, Work
from archon_dagster.stores.vectors.client import Client
from archon_dagster.stores.vectors.fingerprint import dense_vectors
from archon_dagster.stores.vectors.transport import Refused, Transport

_ROWS, _BYTES = 256, 4 << 20  # of one request
_OVERLAP = 4 * _ROWS  # points that may have been on their way when a run was killed


class VectorSeed:
    """The generated collections of one server.

    :ivar refusals: what the server would not take.
    """

    def __init__(self, client: Client, scale: int, dimension: int, work: Work):
        self._client, self._scale, self._work = client, scale, work
        self._wanted = collections(dimension)
        self._there: dict[str, int] = {}
        self.refusals = Refusals()

    def check(self) -> None:
        """Raise where what is there is of another dimension or a larger scale; nothing is written."""
        present = set(self._client.collections())
        for wanted in self._wanted:
            if wanted.name not in present:
                continue
            count = self._client.count(wanted.name)
            self._there[wanted.name] = count
            if count > wanted.count(self._scale):
                raise self._in_the_way(wanted.name, f"already holds {count:,} points, those of a larger scale")
            if wanted.name == MAIN:
                self._check_dimension(wanted)

    def _check_dimension(self, wanted: Collection) -> None:
        size = dense_vectors(self._client.info(wanted.name)["config"]).get("", {}).get("size")
        if size != wanted.config["vectors"]["size"]:
            raise self._in_the_way(wanted.name, f"has vectors of {size} dimensions")

    def write(self) -> tuple[dict[str, int], int]:
        """Make every collection be there; returns the points of each, and how many of them were sent."""
        counts: dict[str, int] = {}
        sent = 0
        for wanted in self._wanted:
            if not self._created(wanted):
                continue
            sent += self._filled(wanted)
            counts[wanted.name] = self._client.count(wanted.name)
            for field, schema in wanted.indexes.items():
                create = partial(self._client.create_index, wanted.name, field, schema, self._work.deadline)
                self.refusals.attempt(f"index of {field} in {wanted.name}", create, Refused)
        self._client.change_aliases(create={alias: name for alias, name in ALIASES.items() if name in counts})
        return counts, sent

    def _created(self, wanted: Collection) -> bool:
        create = partial(self._client.create_collection, wanted.name, wanted.config)
        return wanted.name in self._there or self.refusals.attempt(f"collection {wanted.name}", create, Refused)

    def _filled(self, wanted: Collection) -> int:
        """The points that were sent. Old servers make collections of kinds they do not know, and refuse the points."""
        try:
            return self._fill(wanted, wanted.count(self._scale))
        except Refused as error:
            if wanted.name == MAIN or error.status >= 500:
                raise
            self.refusals.add(f"points of {wanted.name}", error.said)
            return 0

    def _fill(self, wanted: Collection, count: int) -> int:
        there = self._there.get(wanted.name, 0)
        if there == count:
            return 0
        first = min(count, len(points.ODDITIES)) if wanted.name == MAIN else 0
        self._try_oddities(wanted, first)
        start = max(first, (there - _OVERLAP) // _ROWS * _ROWS)
        sent = first + self._send(wanted, range(start, count))
        if start > first and self._client.count(wanted.name) != count:
            sent += self._send(wanted, range(first, start))
        if (found := self._client.count(wanted.name)) != count:
            raise StoreError(
                f"collection {wanted.name} has {found:,} points instead of {count:,}",
                where=self._client.address,
                todo="something else writes to it; stop that, wipe the vectors and seed again",
            )
        return sent

    def _try_oddities(self, wanted: Collection, count: int) -> None:
        """The first point of each kind by itself: a refusal is remembered, and the point written without it."""
        for number in range(count):
            kind = points.oddity(number)
            if kind is None or not self.refusals.attempt(kind, partial(self._one, wanted, number), Refused):
                self._one(wanted, number)

    def _one(self, wanted: Collection, number: int) -> None:
        self._client.upsert(wanted.name, _body(list(self._points(wanted, range(number, number + 1)))), 60.0)

    def _points(self, wanted: Collection, numbers: range) -> Iterator[bytes]:
        dimension = points.LENGTHS.get(wanted.name) or wanted.config["vectors"]["size"]
        return points.points(wanted.name, dimension, numbers, self.refusals.reasons.keys())

    def _send(self, wanted: Collection, numbers: range) -> int:
        done, sending = numbers.start, None
        with ThreadPoolExecutor(1, thread_name_prefix="seed-points") as sender:
            for batch in _batches(self._points(wanted, numbers)):
                self._work.check()
                body = _body(batch)
                if sending is not None:
                    done += sending.result()
                    self._work.report(Progress("vectors", wanted.name, done, numbers.stop, "points"))
                sending = sender.submit(self._put, wanted.name, body, len(batch))
            if sending is not None:
                done += sending.result()
                self._work.report(Progress("vectors", wanted.name, done, numbers.stop, "points"))
        return len(numbers)

    def _put(self, collection: str, body: bytes, count: int) -> int:
        self._client.upsert(collection, body, self._work.deadline)
        return count

    def _in_the_way(self, collection: str, what: str) -> ConfigurationError:
        return ConfigurationError(
            f"collection {collection} {what}; nothing was written",
            where=self._client.address,
            todo="seed the same scale and dimension or a larger scale, or empty it first: archon sandbox wipe vectors",
        )


def connected(settings: Settings) -> Transport:
    key = settings.qdrant_api_key
    return Transport(settings.qdrant_url, key.get_secret_value() if key else None)


def _body(batch: list[bytes]) -> bytes:
    return b'{"points":[' + b",".join(batch) + b"]}"


def _batches(given: Iterator[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for point in given:
        if batch and (len(batch) == _ROWS or size + len(point) > _BYTES):
            yield batch
            batch, size = [], 0
        batch.append(point)
        size += len(point)
    if batch:
        yield batch
