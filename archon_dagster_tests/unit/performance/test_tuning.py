"""The journal of tuning, who writes over it, and a server that does not do what it says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from archon_dagster.context import OperationContext, Step
from archon_dagster.errors import ArchonError, Cancelled, ConfigurationError, StoreError
from archon_dagster.health.end_to_end import Outcome
from archon_dagster.performance.tuning import journal, qdrant
from archon_dagster.performance.tuning.drift import NOBODY, compared, look
from archon_dagster.performance.tuning.effect import Effect
from archon_dagster.performance.tuning.journal import Tuned
from archon_dagster.performance.tuning.planning import TuneRequest
from archon_dagster.performance.tuning.writers import at_work, writer_of
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.stores.base import Progress
from archon_dagster_tests.unit.platform_double import Platform

SEARCHS = {"indexing_threshold": 1000, "flush_interval_sec": 5, "deleted_threshold": 0.2}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(ARCHON_HOME=tmp_path, ARCHON_RUNTIME="processes")


def tuned(change: str, collection: str = "archon_vectors", state: str = "applied", value: int = 20_000) -> Tuned:
    return Tuned(change=change, at=1.0, collection=collection, before={"indexing_threshold": 10_000},
                 wanted={"indexing_threshold": value}, state=state)  # type: ignore[arg-type]  # fmt: skip


# the journal ---------------------------------------------------------------------------------------------------------


def test_what_was_noted_can_be_read_with_its_kinds(settings: Settings) -> None:
    one = tuned("a").model_copy(update={"wanted": {"deleted_threshold": 0.3, "flush_interval_sec": 5},
                                        "effect_before": Effect(p50=1.0, p95=2.0)})  # fmt: skip
    journal.note(settings.home, [one])
    (read,) = journal.load(settings.home)
    assert read == one
    assert [type(value) for value in read.wanted.values()] == [float, int]


def test_the_newest_change_that_is_in_force_is_the_one_to_undo(settings: Settings) -> None:
    journal.note(settings.home, [tuned("a"), tuned("b"), tuned("b", "quality_vectors"), tuned("c", state="undone")])
    assert [(one.change, one.collection) for one in journal.last_in_force(settings.home)] == [
        ("b", "archon_vectors"), ("b", "quality_vectors"),
    ]  # fmt: skip
    journal.note(settings.home, [tuned("b", state="undone"), tuned("b", "quality_vectors", state="undone")])
    assert [one.change for one in journal.last_in_force(settings.home)] == ["a"]


@pytest.mark.parametrize("state", ["begun", "overwritten"])
def test_a_killed_change_and_one_that_was_written_over_can_be_undone(settings: Settings, state: str) -> None:
    journal.note(settings.home, [tuned("a", state=state)])
    assert [one.change for one in journal.last_in_force(settings.home)] == ["a"]


def test_newer_values_are_expected_over_older_ones(settings: Settings) -> None:
    journal.note(settings.home, [tuned("a", value=1), tuned("b", value=2), tuned("c", value=3, state="undone")])
    assert journal.expected(settings.home) == {"archon_vectors": {"indexing_threshold": 2}}


def test_the_journal_is_bounded_and_forgets_nothing_that_is_in_force(settings: Settings) -> None:
    journal.note(settings.home, [tuned("kept"), *(tuned(f"{n:03}", state="undone") for n in range(3 * journal.KEPT))])
    journal.note(settings.home, [tuned("last")])
    there = [one.change for one in journal.load(settings.home)]
    assert (there[0], there[-1], len(there)) == ("kept", "last", journal.KEPT + 1)


def test_where_nothing_was_tuned_nobody_is_asked(settings: Settings) -> None:
    nowhere = settings.model_copy(update={"qdrant_url": "http://127.0.0.1:1"})
    assert look(nowhere, lambda: None) == []


# who did it ----------------------------------------------------------------------------------------------------------


def test_the_values_of_the_search_service_are_known_for_its_collections() -> None:
    writer = writer_of("archon_vectors", SEARCHS)
    assert writer is not None and writer.service == "archon-search"
    assert writer_of("code_generation_patterns", SEARCHS) is None
    assert writer_of("archon_vectors", SEARCHS | {"flush_interval_sec": 6}) is None


def test_only_what_a_service_writes_is_blamed_on_it(settings: Settings) -> None:
    wanted = {"indexing_threshold": 20_000, "deleted_threshold": 0.3, "flush_interval_sec": 5}
    found = {one.name: one.by for one in compared(settings, "archon_vectors", wanted, SEARCHS)}
    assert set(found) == {"indexing_threshold", "deleted_threshold"}
    assert found["indexing_threshold"].startswith("archon-search")
    assert found["deleted_threshold"] == NOBODY


@pytest.mark.parametrize(
    ("line", "writes"),
    [("", True), ("AUTO_REFRESH_ENABLED=true", True), ("AUTO_REFRESH_ENABLED=", True),
     ("AUTO_REFRESH_ENABLED=false", False), ("AUTO_REFRESH_ENABLED=Off", False)],
)  # fmt: skip
def test_whether_it_will_be_undone_stands_in_the_platforms_env(settings: Settings, line: str, writes: bool) -> None:
    settings.project_dir.mkdir()
    (settings.project_dir / ".env").write_text(f"{line}\n")
    writer = at_work(settings, "archon_vectors", {"indexing_threshold": 20_000})
    assert (writer is not None) is writes
    assert at_work(settings, "archon_vectors", {"indexing_threshold": 1000}) is None  # what it writes itself
    assert at_work(settings, "archon_vectors", {"deleted_threshold": 0.3}) is None
    (drift,) = compared(settings, "archon_vectors", {"indexing_threshold": 20_000}, SEARCHS)
    assert ("archon config apply" if writes else "recreate it") in drift.todo


# a server that does not do what it says ------------------------------------------------------------------------------


class Stubborn(BaseHTTPRequestHandler):
    """Collections whose settings change by PATCH; ``deaf`` ones answer that they did it and do not."""

    protocol_version = "HTTP/1.1"
    collections: dict[str, dict[str, Any]]
    deaf: set[str]
    refusing: set[str]
    status = "green"

    def _answer(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"null")
        name = self.path.split("/")[2] if self.path.count("/") > 1 else ""
        if self.path == "/":
            return self._say({"version": "1.18.3"}, whole=True)
        if self.path == "/collections":
            return self._say({"collections": [{"name": one} for one in self.collections]})
        if self.path.endswith("/scroll"):
            return self._say({"points": [], "next_page_offset": None})
        if self.command == "PATCH":
            if name in self.refusing:
                return self._say(None, status=500)
            if name not in self.deaf:
                self.collections[name].update(body["optimizers_config"])
            return self._say(True)
        config = {"optimizer_config": self.collections[name], "params": {"vectors": {"size": 4, "distance": "Dot"}}}
        return self._say({"status": self.status, "optimizer_status": "ok", "points_count": 0, "segments_count": 1,
                          "config": config})  # fmt: skip

    def _say(self, result: Any, *, whole: bool = False, status: int = 200) -> None:
        body = json.dumps(result if whole else {"result": result, "status": "ok"}).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PATCH = _answer

    def log_message(self, *_: object) -> None: ...


class Served:
    """A small platform whose Qdrant is :class:`Stubborn`."""

    def __init__(self, home: Path, url: str, handler: type[Stubborn]):
        self.handler = handler
        self.context = Platform(home).context
        settings = self.context.settings.model_copy(update={"qdrant_url": url, "performance_samples": 5})
        self.context = replace(self.context, settings=settings)


@contextmanager
def served(home: Path) -> Iterator[Served]:
    values = {"indexing_threshold": 10_000, "flush_interval_sec": 5, "max_segment_size": None}
    names = ("archon_vectors", "quality_vectors")
    handler = type(
        "Handler", (Stubborn,), {"collections": {n: dict(values) for n in names}, "deaf": set(), "refusing": set()}
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Served(home, f"http://127.0.0.1:{server.server_port}", handler)
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as one:
        yield one


def well(*_: object) -> Outcome:
    return Outcome(True, "indexed", 0.1)


REQUEST = TuneRequest(("indexing_threshold=20000",))


def values(server: Served) -> dict[str, int]:
    return {name: one["indexing_threshold"] for name, one in server.handler.collections.items()}


def test_a_server_that_answers_done_and_did_not_is_found_out_and_all_is_put_back(server: Served) -> None:
    server.handler.deaf.add("quality_vectors")
    with pytest.raises(StoreError, match=r"quality_vectors was to have .* and says"):
        qdrant.apply(server.context, REQUEST, well)
    assert values(server) == {"archon_vectors": 10_000, "quality_vectors": 10_000}
    states = {one.collection: one.state for one in journal.load(server.context.settings.home)}
    assert states == {"archon_vectors": "put back", "quality_vectors": "put back"}


def test_what_could_not_be_put_back_stays_to_be_undone(server: Served) -> None:
    def breaks(*_: object) -> Outcome:
        server.handler.refusing.add("archon_vectors")
        raise ArchonError("injected")

    with pytest.raises(ArchonError, match="injected"):
        qdrant.apply(server.context, REQUEST, breaks)
    assert values(server) == {"archon_vectors": 20_000, "quality_vectors": 10_000}
    (left,) = journal.last_in_force(server.context.settings.home)
    assert (left.collection, left.state) == ("archon_vectors", "begun") and left.detail.startswith("not put back")
    server.handler.refusing.clear()
    qdrant.undo(server.context)
    assert values(server) == {"archon_vectors": 10_000, "quality_vectors": 10_000}


def at_the_end(server: Served, happens: Callable[[], None]) -> OperationContext:
    """Something happens when the values hold, and only the optimizers are waited for."""

    def report(news: Step | Progress) -> None:
        if isinstance(news, Step) and news.name.startswith("wait for the optimizers") and news.seconds is None:
            happens()

    return replace(server.context, report=report)


def test_a_cancel_while_the_optimizers_are_waited_for_puts_everything_back(server: Served) -> None:
    def cancel() -> None:
        server.handler.status = "yellow"  # they would be waited for much longer
        server.context.cancel.set()

    with pytest.raises(Cancelled):
        qdrant.apply(at_the_end(server, cancel), REQUEST, well)
    assert values(server) == {"archon_vectors": 10_000, "quality_vectors": 10_000}
    assert {one.state for one in journal.load(server.context.settings.home)} == {"put back"}


def test_optimizers_that_fail_with_the_new_values_have_the_old_ones_again(server: Served) -> None:
    def fail() -> None:
        server.handler.status = "red"

    with pytest.raises(StoreError, match="the optimizers of archon_vectors failed"):
        qdrant.apply(at_the_end(server, fail), REQUEST, well)
    assert values(server) == {"archon_vectors": 10_000, "quality_vectors": 10_000}
    assert journal.last_in_force(server.context.settings.home) == []


def test_what_a_service_wrote_over_is_said_to_be_in_force_and_can_be_undone(server: Served) -> None:
    def writes_over(*_: object) -> Outcome:
        server.handler.collections["archon_vectors"].update(SEARCHS)
        return Outcome(True, "indexed", 0.1)

    with pytest.raises(StoreError, match=r"does not hold.*and is 1000[\s\S]*in force now[\s\S]*qdrant --undo"):
        qdrant.apply(server.context, REQUEST, writes_over)
    assert values(server) == {"archon_vectors": 1000, "quality_vectors": 20_000}
    states = {one.collection: one.state for one in journal.load(server.context.settings.home)}
    assert states == {"archon_vectors": "overwritten", "quality_vectors": "applied"}
    qdrant.undo(server.context)
    assert values(server) == {"archon_vectors": 10_000, "quality_vectors": 10_000}


def test_that_it_was_not_seen_to_hold_is_said(server: Served) -> None:
    tuning = qdrant.apply(server.context, REQUEST, lambda *_: Outcome(False, "find: no results", 1.0, "find"))
    assert "whether it holds when a document is indexed is not known: find: no results" in tuning.held
    assert {one.state for one in tuning.changes} == {"applied"}


def test_values_that_are_there_already_are_left_alone(server: Served) -> None:
    tuning = qdrant.apply(server.context, TuneRequest(), well)
    assert (tuning.changes, journal.load(server.context.settings.home)) == ((), [])
    assert "every value is there already" in tuning.held


def test_what_is_unset_could_not_be_put_back_and_is_refused(server: Served) -> None:
    server.handler.collections["archon_vectors"]["indexing_threshold"] = None
    with pytest.raises(ConfigurationError, match="unset, which could not be put back; nothing was touched"):
        qdrant.apply(server.context, REQUEST, well)
    assert values(server) == {"archon_vectors": None, "quality_vectors": 10_000}


def test_a_collection_that_is_gone_has_nothing_to_undo(server: Served) -> None:
    qdrant.apply(server.context, REQUEST, well)
    del server.handler.collections["quality_vectors"]
    done = {one.collection: one.detail for one in qdrant.undo(server.context)}
    assert done == {"archon_vectors": "", "quality_vectors": "the collection is gone"}
    assert values(server) == {"archon_vectors": 10_000}
