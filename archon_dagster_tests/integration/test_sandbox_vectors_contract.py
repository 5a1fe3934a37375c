"""The sandbox's vector server answers what a real Qdrant 1.18.3 answered, but for what :data:`LEFT_OUT` names.

With ``ARCHON_TEST_QDRANT_URL`` the same requests go to that server instead: a disposable one, whose collections of
these names are deleted first.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from archon_dagster_tests.integration.vector_server import running
from archon_dagster_tests.integration.vector_transcript import DATA, Replay, Step, differences, steps

pytestmark = pytest.mark.sandbox

ANOTHER_SERVER = os.environ.get("ARCHON_TEST_QDRANT_URL")
REPLAYED, KEYLESS = DATA / "v1.18.3" / "transcript.jsonl", DATA / "v1.18.3" / "transcript-without-key.jsonl"
RECORDED, WITHOUT_KEY = steps(REPLAYED), steps(KEYLESS)
ANSWERED_EARLY = ("count after: upload: no wait", "files left after: upload: no wait")


@dataclass(frozen=True)
class LeftOut:
    """Something a real server does and the sandbox's does not, on purpose.

    :param steps: of the recording; ``None`` where nothing of it was recorded.
    :param recording: all of which is left out.
    """

    why: str
    steps: str | None = None
    recording: Path | None = None


LEFT_OUT = {
    "full-storage snapshots": LeftOut(
        "nothing here makes or restores one: collections are backed up one by one, and the manifest says so",
        r"^POST /snapshots\b|^GET /snapshots \(full snapshots\)",
    ),
    "shard snapshots": LeftOut(
        "a collection of the sandbox has one shard, and its snapshot is the collection's",
        r"/shards/0/snapshots?\b(?!/partial)",
    ),
    "partial snapshots": LeftOut(
        "not in the documented API; what is unchanged is found in the repository", r"/shards/0/snapshot/partial"
    ),
    "telemetry in detail": LeftOut("nothing here reads it; the first level is there", r"/telemetry\?"),
    "changes to a cluster": LeftOut("the sandbox is one node, and says that clustering is off", None),
    "gRPC": LeftOut("everything here speaks REST", None),
    "tokens with a role of their own (JWT)": LeftOut("the two keys are there: one for all, one for reading", None),
    "a server of version 1.7.4": LeftOut(
        "the engine is that of 1.18: told to be 1.7.4 it says so and sends no checksums, no more. The store is tested "
        "against old_vector_server.py, which answers from this recording",
        recording=DATA / "v1.7.4" / "transcript.jsonl",
    ),
}
"""Everything that is left out, by name."""

DIFFERENT = {
    r"\.payload_schema\.content\.points": "the engine does not count empty texts as indexed",
    r"idle_segments": "the engine starts with one segment, the server with one for each core",
}
IN_TELEMETRY = {
    r"^\.result\.id: ": "made anew for every storage",
    r"^\.result\.app\.audit: missing": "there is no audit log",
    r"^\.result\.requests\.rest\.responses\.": "requests are not counted",
}
KNOWN_HITS = {"query": "[12]", "search (old)": "1", "query by id": r"\d", "query sparse": r"\d"}
"""Hits that depend on vectors that were not recorded, or are equally near: by place. The others must be the same."""
NEEDED_METRICS = {"collections_total", "collection_points", "collection_vectors", "collection_running_optimizations"}


def left_out(step: Step) -> str | None:
    shown = f"{step.method} {step.path} ({step.note})"
    return next((name for name, one in LEFT_OUT.items() if one.steps and re.search(one.steps, shown)), None)


KEPT = [step for step in RECORDED if left_out(step) is None]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, httpx.Response]]:
    """The whole transcript, played once in order."""
    if ANOTHER_SERVER:
        yield _played(ANOTHER_SERVER)
        return
    with running(tmp_path_factory.mktemp("contract")) as server:
        yield _played(server.url)


def _played(url: str) -> dict[int, httpx.Response]:
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        names = {
            step.path.split("/")[2].partition("?")[0] for step in RECORDED if step.path.startswith("/collections/")
        }
        for name in names - {"aliases"}:
            client.delete(f"/collections/{name}")
        replay = Replay(client, RECORDED)
        return {step.number: replay.play(step) for step in KEPT}


@pytest.mark.parametrize("step", KEPT, ids=str)
def test_status_is_the_recorded_one(step: Step, answers: dict[int, httpx.Response]) -> None:
    actual = answers[step.number]
    allowed = {step.status, 200} if step.note in ANSWERED_EARLY else {step.status}
    assert actual.status_code in allowed, actual.text[:500]


@pytest.mark.parametrize("step", KEPT, ids=str)
def test_body_is_the_recorded_one(step: Step, answers: dict[int, httpx.Response]) -> None:
    actual = answers[step.number]
    if step.note in ANSWERED_EARLY and actual.status_code == 200:
        pytest.skip("the restore was faster than the question")
    if not isinstance(step.answer, dict) or "__bytes__" not in step.answer:
        assert _unexpected(step, differences(step.answer, actual.json())) == []
    elif "__abbreviated__" in step.answer:
        assert _beginning(json.dumps(actual.json())) == _beginning(step.answer["__abbreviated__"])
    elif "/metrics" in step.path:
        assert _metric_names(actual.text) <= RECORDED_METRICS
    elif "__text__" in step.answer:
        assert actual.text == step.answer["__text__"]
    else:
        assert len(actual.content) == step.answer["__bytes__"]


def _unexpected(step: Step, found: list[str]) -> list[str]:
    """The differences that have no name above."""
    known = [*DIFFERENT, *(IN_TELEMETRY if step.path == "/telemetry" else ())]
    if step.note in KNOWN_HITS:
        known.append(rf"^\.result(\.points)?\[{KNOWN_HITS[step.note]}\]\.(id|payload)")
    return [one for one in found if not any(re.search(pattern, one) for pattern in known)]


def _beginning(text: str) -> str:
    """Up to the vector, which was not recorded whole."""
    return text.partition('"vector"')[0]


def _metric_names(text: str) -> set[str]:
    return set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))


RECORDED_METRICS = {
    name for step in RECORDED if step.path == "/metrics" for name in _metric_names(step.answer["__text__"])
}


def test_the_metrics_that_operations_read_are_there(answers: dict[int, httpx.Response]) -> None:
    with_data = next(step for step in KEPT if step.note == "metrics with data")
    assert _metric_names(answers[with_data.number].text) >= NEEDED_METRICS


@pytest.mark.parametrize("step", [step for step in KEPT if step.headers], ids=str)
def test_headers_are_the_recorded_ones(step: Step, answers: dict[int, httpx.Response]) -> None:
    actual = answers[step.number].headers
    for name in ("content-type", "accept-ranges"):
        assert actual.get(name) == step.headers.get(name)
    if "content-range" in step.headers:
        assert re.sub(r"\d+$", "N", actual["content-range"]) == re.sub(r"\d+$", "N", step.headers["content-range"])
        assert actual["content-disposition"].startswith('attachment; filename="quality_vectors-')


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_is_left_out_is_what_its_name_says(name: str) -> None:
    """Whether each entry stands for something: steps of the recording, a recording, or nothing that was recorded."""
    one = LEFT_OUT[name]
    assert len(one.why) > 20
    assert one.steps is None or any(left_out(step) == name for step in RECORDED)
    assert one.recording is None or one.recording.is_file()


def test_no_change_to_a_cluster_was_recorded() -> None:
    assert [str(step) for step in RECORDED if "/cluster" in step.path and step.method != "GET"] == []


def test_nothing_else_is_left_out(answers: dict[int, httpx.Response]) -> None:
    """Every recording there is, and every step in it, was played or is named."""
    played = {REPLAYED, KEYLESS}
    named = {one.recording for one in LEFT_OUT.values() if one.recording}
    assert set(DATA.rglob("*.jsonl")) == played | named
    unplayed = {step for step in range(len(RECORDED)) if step not in answers}
    assert unplayed == {step.number for step in RECORDED if left_out(step)}


@pytest.mark.skipif(bool(ANOTHER_SERVER), reason="needs a server with an API key")
@pytest.mark.parametrize("step", WITHOUT_KEY, ids=str)
def test_a_server_with_a_key_answers_those_without_it_as_recorded(step: Step, keyed_server: httpx.Client) -> None:
    actual = keyed_server.get(step.path)
    assert (actual.status_code, actual.text) == (step.status, step.answer)


@pytest.fixture(scope="module")
def keyed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    root: Path = tmp_path_factory.mktemp("keyed")
    environment: dict[str, Any] = {"QDRANT__SERVICE__API_KEY": "secret", "QDRANT__SERVICE__READ_ONLY_API_KEY": "look"}
    with running(root, environment) as server, server.http() as client:
        yield client


@pytest.mark.parametrize("headers", [{"api-key": "secret"}, {"authorization": "Bearer secret"}], ids=["key", "bearer"])
def test_the_key_opens_the_server(headers: dict[str, str], keyed_server: httpx.Client) -> None:
    assert keyed_server.get("/collections", headers=headers).status_code == 200


def test_a_wrong_key_is_refused(keyed_server: httpx.Client) -> None:
    assert keyed_server.get("/collections", headers={"api-key": "guess"}).status_code == 401


def test_a_read_only_key_reads_but_takes_no_snapshot(keyed_server: httpx.Client) -> None:
    headers = {"api-key": "look"}
    assert keyed_server.get("/collections", headers=headers).status_code == 200
    refused = keyed_server.post("/collections/any/snapshots", headers=headers)
    assert refused.status_code == 403
    assert "Global manage access is required" in refused.json()["status"]["error"]
