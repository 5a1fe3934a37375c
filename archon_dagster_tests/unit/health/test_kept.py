"""What is kept in the home: history, state, events; bounded, and whole after a crash."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from archon_dagster.health import changes, confirmed, events, standing
from archon_dagster.health import state as states
from archon_dagster.health.evaluation import Change, ServiceState
from archon_dagster.health.events import Event
from archon_dagster.health.history import History
from archon_dagster.health.samples import Facet
from archon_dagster.health.state import MonitorState
from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.unit.health.samples import sample

DAY = 86_400.0


def test_history_is_bounded_by_count(tmp_path: Path) -> None:
    history = History(tmp_path, keep=20)
    for second in range(200):
        history.add([sample("good", second), sample("dead", second, "memgraph")], second)
    points = history.of("qdrant")
    assert points[-1].at == 199.0 and 20 <= len(points) <= 40
    assert [point.seconds for point in history.of("memgraph", limit=2)] == [None, None]


def test_history_is_bounded_by_age(tmp_path: Path) -> None:
    history = History(tmp_path, days=1.0)
    history.add([sample("good", 0.0)], 0.0)
    history.add([sample("good", 2 * DAY)], 2 * DAY)
    assert [point.at for point in history.of("qdrant")] == [2 * DAY]


def test_history_tells_how_fast_and_how_often(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.add([replace(sample("good", second), seconds=second / 100) for second in range(1, 101)], 100.0)
    history.add([sample("dead", 101.0)], 101.0)
    found = history.summary("qdrant", since=0.0)
    assert (found.samples, found.unhealthy, found.p50, found.p95) == (101, 1, 0.51, 0.96)
    assert History(tmp_path / "none").summary("qdrant").p50 is None


def test_a_damaged_history_is_set_aside_and_begun_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    history = History(tmp_path)
    history.add([sample("good", 1.0)], 1.0)
    history.path.write_bytes(b"garbage" * 4096)
    with caplog.at_level(logging.WARNING):
        history.add([sample("good", 2.0)], 2.0)
    assert [point.at for point in history.of("qdrant")] == [2.0]
    assert "damaged" in caplog.text
    assert history.path.with_name("history.db.damaged").read_bytes().startswith(b"garbage")


WRITE_FOR_EVER = """
import itertools, sys
from pathlib import Path
from archon_dagster.health.history import History
from archon_dagster_tests.unit.health.samples import sample
history = History(Path(sys.argv[1]))
for second in itertools.count():
    history.add([sample("good", float(second))], float(second))
"""


def test_a_killed_writer_leaves_a_whole_history(tmp_path: Path) -> None:
    history = History(tmp_path)
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, str(tmp_path)]) as writer:
            before = len(history.of("qdrant"))
            eventually(lambda before=before: len(history.of("qdrant")) > before + 20)  # type: ignore[misc]
            writer.send_signal(signal.SIGKILL)
    assert len(history.of("qdrant")) > 60
    assert not history.path.with_name("history.db.damaged").exists()


def unwell(name: str, state: str = "unhealthy", **more: object) -> dict[str, ServiceState]:
    failed = (Facet("reachable", False, "refused", problem="unreachable"),)
    return {name: replace(ServiceState(), state=state, since=20.0, first_seen=18.0, failed=failed, **more)}  # type: ignore[arg-type]


def test_a_restarted_monitor_goes_on_with_what_was_known(tmp_path: Path) -> None:
    kept = MonitorState(at=20.0, sequence=7, services=unwell("qdrant", pending="healthy", streak=1))
    states.save(tmp_path, kept)
    assert states.load(tmp_path) == kept


@pytest.mark.parametrize("content", ["", "{", '{"services": 3}', "null"])
def test_a_damaged_state_begins_anew(tmp_path: Path, content: str) -> None:
    states.path(tmp_path).parent.mkdir()
    states.path(tmp_path).write_text(content)
    assert states.load(tmp_path) == MonitorState()


def test_a_state_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    states.save(tmp_path, MonitorState(sequence=1))
    with pytest.raises(Exception, match="serialize"):
        states.save(tmp_path, MonitorState(sequence=object()))  # type: ignore[arg-type]
    assert states.load(tmp_path).sequence == 1
    assert [file.name for file in states.path(tmp_path).parent.iterdir()] == ["monitor.json"]


def test_others_read_what_is_confirmed_with_causes_and_affected(tmp_path: Path) -> None:
    services = unwell("archon-search", "degraded") | unwell("qdrant") | {"postgres": ServiceState(state="healthy")}
    causes = {"archon-search": ("qdrant",), "qdrant": ()}
    states.save(tmp_path, MonitorState(at=30.0, services=services, causes=causes, left_out={"ollama": "not set"}))
    qdrant, search = confirmed(tmp_path)
    assert (qdrant.service, qdrant.state, qdrant.causes, qdrant.affected) == (
        "qdrant", "unhealthy", (), ("archon-search",),
    )  # fmt: skip
    assert (search.service, search.causes) == ("archon-search", ("qdrant",))
    assert qdrant.problems == {"unreachable"} and not qdrant.external
    whole = standing(tmp_path)
    assert (whole.at, whole.states["postgres"], whole.left_out) == (30.0, "healthy", {"ollama": "not set"})


def test_nothing_is_confirmed_where_the_monitor_never_ran(tmp_path: Path) -> None:
    assert confirmed(tmp_path) == () and standing(tmp_path).at == 0.0


def event(number: int) -> Event:
    change = Change("qdrant", float(number), "healthy", "unhealthy", number - 1.0, "refused", unwell("x")["x"].failed)
    return Event(number, change, ("memgraph",))


def test_changes_are_read_in_order_after_the_last_one_handled(tmp_path: Path) -> None:
    events.append(tmp_path, [event(1), event(2)])
    events.append(tmp_path, [event(3)])
    assert changes(tmp_path, after=1) == [event(2), event(3)]
    assert events.newest(tmp_path) == 3


def test_a_line_cut_short_by_a_crash_is_left_out_and_the_next_is_whole(tmp_path: Path) -> None:
    events.append(tmp_path, [event(1)])
    with events.path(tmp_path).open("ab") as file:
        file.write(b'{"sequence": 2, "chan')
    events.append(tmp_path, [event(3)])
    assert [one.sequence for one in changes(tmp_path)] == [1, 3]


def test_the_events_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LARGEST", 4096)
    for number in range(1, 200):
        events.append(tmp_path, [event(number)])
    folder = events.path(tmp_path).parent
    assert sum(file.stat().st_size for file in folder.iterdir()) < 3 * 4096
    assert changes(tmp_path)[-1] == event(199)
