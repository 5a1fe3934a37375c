"""Replay what a real Qdrant 1.18.3 was asked, and compare the answers.

Long request bodies were not recorded: they are made again here from the points that the recording left behind.
What differs from one run to the next (times, ids of peers and segments, dates, names that hold them, sizes,
checksums) is compared by its type; everything else by its value.
"""

import json
import random
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import httpx

DATA = Path(__file__).parent.parent / "data" / "qdrant"
RECORDED = DATA / "v1.18.3" / "transcript.jsonl"
Json = Any

VOLATILE = re.compile(
    r"\.(time|peer_id|creation_time|size|checksum|segments_count|score|uuid|startup|avg_duration_micros|id_tracker"
    r"|disk_bytes|ram_bytes|cached_bytes|expected_cache_bytes)$"
    r"|points\[\d+\]\.version$|result\[\d+\]\.version$|idle_segments\[\d+\]\.points_count$"
)
SNAPSHOT_NAME = re.compile(r"[a-z_]+-\d+-\d{4}(-\d\d){5}\.snapshot")
DIMENSIONS = {"archon_vectors": 1536, "code_generation_patterns": 384, "generous": 32}
DELETED = {0: 0, 1: "b1472fb4-aab2-4aa8-822e-3c4ea8ade8ab", 3: "b28d44ae-47a8-4fda-9ce3-e537ef516f3c"}
ASKED_FOR = "c531e127-a8b0-4057-8196-f8e54514763a"
ABSENT_FILE = "/nowhere/"


@dataclass(frozen=True)
class Step:
    """One recorded request and its answer."""

    number: int
    note: str
    method: str
    path: str
    request: Json
    status: int
    headers: dict[str, str]
    answer: Json

    def __str__(self) -> str:
        return f"{self.number:03d} {self.method} {self.path.partition('?')[0]} ({self.note})"


def steps(path: Path = RECORDED) -> list[Step]:
    with path.open() as file:
        return [Step(number, **json.loads(line)) for number, line in enumerate(file)]


def payload(number: int) -> Json:
    """The payload of the recording's point ``number``."""
    return {
        "entity_id": f"file_{number:012x}",
        "entity_type": "File" if number % 3 else "Entity",
        "title": f't{number} ☃ "q" \\ \n',
        "content": "x" * (number % 50),
        "quality_score": number / 7,
        "whole_float": 1.0,
        "chunk_number": number,
        "big": 2**53 + number,
        "neg": -number,
        "none": None,
        "flag": number % 2 == 0,
        "concepts": ["a", "b"],
        "nested": {"k": [1, 2.5, {"z": "\u0001"}]},
        "created_at": "2026-11-24T03:00:00Z",
        "where": {"lon": 13.4, "lat": 52.5},
        "empty": "",
        "list": [],
    }


def vector(seed: object, dimension: int) -> list[float]:
    generator = random.Random(str(seed))
    return [round(generator.gauss(0, 1), 6) for _ in range(dimension)]


class Bodies:
    """Request bodies that were too long to record."""

    def __init__(self, recorded: list[Step]):
        with (DATA / "expected.json").open() as file:
            expected = json.load(file)
        self._ids = {name: self._numbered(expected[name]["points"]) for name in DIMENSIONS}
        self._ids["archon_vectors"] |= DELETED
        self._position = dict.fromkeys(DIMENSIONS, 0)
        self._named = self._named_points(expected["named"]["points"], recorded)

    @staticmethod
    def _numbered(points: Json) -> dict[int, Json]:
        return {one["payload"]["chunk_number"]: one["id"] for one in points.values()}

    @staticmethod
    def _named_points(points: Json, recorded: list[Step]) -> list[Json]:
        """Vectors of the two points that the recording read back are known; the others are made up."""
        known = {
            one["id"]: one["vector"]
            for step in recorded
            if step.note == "retrieve named"
            for one in step.answer["result"]
        }
        made: list[Json] = []
        for one in points.values():
            vectors = {"title": vector(one["id"], 8), "body": vector(one["id"], 16)}
            words = {"indices": [1, 5, 2**31], "values": [0.5, 1.0, 0.25]}
            chosen = known.get(one["id"], {**vectors, "words": words})
            made.append({"id": one["id"], "vector": chosen, "payload": one["payload"]})
        return made

    def build(self, step: Step) -> Json:
        collection = step.path.split("/")[2]
        match step.note:
            case "upsert":
                return {"points": self._next_points(collection, step.request["__bytes__"])}
            case "upsert named":
                return {"points": self._named}
            case "upsert: bad id" | "upsert: negative id":
                return {"points": [{"id": "not-a-uuid" if "bad" in step.note else -1, "vector": vector(0, 1536)}]}
            case "query":
                return {"query": self.vector_of(ASKED_FOR), "limit": 3, "with_payload": ["entity_id"]}
            case "search (old)":
                return {"vector": self.vector_of(ASKED_FOR), "limit": 2}
        raise AssertionError(f"no body for {step}")

    def _next_points(self, collection: str, recorded_bytes: int) -> list[Json]:
        """As many as were sent: 100 at a time, 40 in the one body that was shorter."""
        first = self._position[collection]
        count = 40 if recorded_bytes == 1287876 else 100
        self._position[collection] = first + count
        ids, dimension = self._ids[collection], DIMENSIONS[collection]
        return [
            {"id": ids[number], "vector": vector(ids[number], dimension), "payload": payload(number)}
            for number in range(first, first + count)
        ]

    @staticmethod
    def vector_of(identifier: object) -> list[float]:
        return vector(identifier, DIMENSIONS["archon_vectors"])


@dataclass
class Replay:
    """Plays the steps in order; names and checksums of the recording become those of this run."""

    client: httpx.Client
    recorded: list[Step]
    names: dict[str, str] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    snapshots: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._bodies = Bodies(self.recorded)

    def play(self, step: Step) -> httpx.Response:
        if step.note == "snapshot create, no wait":
            _next_second()
        answer = self._until(step)
        self._learn(step, answer)
        return answer

    def _until(self, step: Step) -> httpx.Response:
        """Send it; where the recording waited for something, ask again until it is there."""
        deadline, pause = time.monotonic() + 30, Event()
        while True:
            answer = self._send(step)
            if not _recording_waited(step, answer) or time.monotonic() > deadline:
                return answer
            pause.wait(0.05)

    def _send(self, step: Step) -> httpx.Response:
        headers = {}
        if step.status in (206, 416):
            headers["range"] = "bytes=0-99" if step.status == 206 else "bytes=999999999-"
        path = self._translated(step.path)
        if isinstance(step.request, dict) and "__multipart__" in step.request:
            files = {"snapshot": ("s.snapshot", self._upload(step))}
            return self.client.request(step.method, path, files=files)
        content = self._content(step)
        if content is not None:
            headers["content-type"] = "application/json"
        return self.client.request(step.method, path, content=content, headers=headers)

    def _content(self, step: Step) -> bytes | None:
        if step.note == "create: no body":
            return b"{"  # what the recorded message says was sent
        if step.request is None:
            return None
        body = self._bodies.build(step) if "__abbreviated__" in step.request else step.request
        text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
        return self._translated(text).replace("http://127.0.0.1:6333", str(self.client.base_url)).encode()

    def _translated(self, text: str) -> str:
        for old, new in {**self.names, **self.checksums}.items():
            text = text.replace(old, new)
        return text

    def _upload(self, step: Step) -> bytes:
        whole = self.snapshots["archon_vectors"]
        match step.note:
            case "upload: truncated":
                return whole[: len(whole) // 2]
            case "upload: garbage":
                return b"not a tar"
            case "upload: a flipped byte, new name":
                return _flipped(whole)
        return whole

    def _learn(self, step: Step, answer: httpx.Response) -> None:
        if step.note == "snapshot create" and answer.status_code == 200:
            self._learn_name(step.answer["result"], answer.json()["result"])
            collection = step.path.split("/")[2]
            path = f"/collections/{collection}/snapshots/{answer.json()['result']['name']}"
            self.snapshots[collection] = self.client.get(path).content
        elif step.note == "snapshot list" and answer.status_code == 200:
            theirs, ours = (list(found["result"]) for found in (step.answer, answer.json()))
            new = [one for one in ours if one["name"] not in self.names.values()]
            for one in theirs:
                if one["name"] not in self.names and new:
                    self._learn_name(one, new.pop())

    def _learn_name(self, recorded: Json, actual: Json) -> None:
        self.names[recorded["name"]] = actual["name"]
        self.checksums[recorded["checksum"]] = actual["checksum"]


def _next_second() -> None:
    """Snapshot names have a resolution of one second: a second one in it would replace the first."""
    start, pause = int(time.time()), Event()
    while int(time.time()) == start:
        pause.wait(0.02)


def _recording_waited(step: Step, answer: httpx.Response) -> bool:
    match step.note:
        case "info green with an index":
            result = answer.json()["result"]
            return bool(result["status"] != "green" or result["indexed_vectors_count"] < result["points_count"])
        case "count after no wait":
            return answer.status_code != 200
        case "snapshot list":
            return answer.status_code == 200 and len(answer.json()["result"]) < len(step.answer["result"])
    return False


def _flipped(snapshot: bytes) -> bytes:
    """One bit of one stored vector: the archive and every file in it still look well."""
    components = Bodies.vector_of(ASKED_FOR)
    length = sum(value * value for value in components) ** 0.5
    at = _position_of([value / length for value in components], snapshot)
    return snapshot[:at] + bytes([snapshot[at] ^ 1]) + snapshot[at + 1 :]


def _position_of(components: list[float], snapshot: bytes) -> int:
    """Where a vector is stored. Its last digits depend on the order of additions: look for values close to it."""
    import numpy

    wanted = numpy.asarray(components[:8], dtype=numpy.float32)
    aligned = numpy.frombuffer(snapshot[: len(snapshot) // 4 * 4], dtype=numpy.float32)
    for start in numpy.flatnonzero(numpy.isclose(aligned, wanted[0], rtol=1e-6, atol=0)):
        if numpy.allclose(aligned[start : start + 8], wanted, rtol=1e-5):
            return int(start) * 4
    raise AssertionError("the vector is not in the snapshot")


def differences(recorded: Json, actual: Json, where: str = "") -> list[str]:
    """How an answer differs from the recorded one: structure and types everywhere, values where they repeat."""
    if isinstance(recorded, dict) and isinstance(actual, dict):
        missing = [f"{where}.{key}: missing" for key in recorded.keys() - actual.keys()]
        extra = [f"{where}.{key}: should not be there" for key in actual.keys() - recorded.keys()]
        shared = [key for key in recorded if key in actual]
        return [
            *missing,
            *extra,
            *(d for key in shared for d in differences(recorded[key], actual[key], f"{where}.{key}")),
        ]
    if isinstance(recorded, list) and isinstance(actual, list):
        if len(recorded) != len(actual):
            return [f"{where}: {len(actual)} entries instead of {len(recorded)}"]
        pairs = zip(_ordered(recorded), _ordered(actual), strict=True)
        return [d for at, (one, other) in enumerate(pairs) for d in differences(one, other, f"{where}[{at}]")]
    return _scalar_difference(recorded, actual, where)


def _ordered(values: list[Json]) -> list[Json]:
    """Snapshots and index names are listed in the order of a directory or a hash table: none."""
    if values and all(isinstance(one, dict) and "name" in one for one in values):
        return sorted(values, key=lambda one: str(one["name"]))
    return values


def _scalar_difference(recorded: Json, actual: Json, where: str) -> list[str]:
    if type(recorded) is not type(actual) and not (VOLATILE.search(where) and _both_numbers(recorded, actual)):
        return [f"{where}: {actual!r} instead of {recorded!r}"]
    if VOLATILE.search(where) or _repeatable(recorded) == _repeatable(actual):
        return []
    return [f"{where}: {actual!r} instead of {recorded!r}"]


def _both_numbers(recorded: Json, actual: Json) -> bool:
    return isinstance(recorded, int | float) and isinstance(actual, int | float)


def _repeatable(value: Json) -> Json:
    """A value without what differs from run to run."""
    if not isinstance(value, str):
        return value
    value = re.sub(r"line \d+ column \d+", "line N column N", value)
    value = re.sub(r"failed to unpack `[^`]*`", "failed to unpack `…`", value)
    value = re.sub(r"[0-9a-f]{64}", "<sha-256>", value)
    return SNAPSHOT_NAME.sub("<snapshot>", value)
