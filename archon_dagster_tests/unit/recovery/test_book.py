"""The incidents on disk: whole after any crash, exclusive where they must be, bounded."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from archon_dagster.errors import ConfigurationError, ServiceError
from archon_dagster.recovery.book import Book
from archon_dagster.recovery.incident import Event, Incident, Step, open_incident
from archon_dagster_tests.unit.recovery.picture import OWN, at


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path)


def added(book: Book, root: str = "qdrant", *, seconds: float = 0, over: bool = False) -> Incident:
    incident = book.add(open_incident("single_service", (root,), (root, "archon-search"), at(seconds), at(seconds - 3)))
    if over:
        incident = book.change(incident.id, lambda one: one.note(at(seconds + 10), "recovered", "well"))
    return incident


def test_what_is_written_is_read_again(book: Book) -> None:
    step = Step(verb="restore", services=("qdrant",), store="vectors", parts=("archon_vectors",), backup="b")
    incident = added(book)
    book.change(incident.id, lambda one: one.with_event(Event(at=at(1), kind="started", step=step)))
    found = Book(book.home).get(incident.id)
    assert found.interrupted == step
    assert (found.seconds_to_detect, found.state) == (3, "open")


def test_times_are_measured_against_the_objective(book: Book) -> None:
    incident = added(book, over=True)
    assert (incident.seconds_to_recover, incident.within_objective) == (10, True)
    late = incident.note(at(20), "relapsed", "").note(at(400), "recovered", "")
    assert (late.seconds_to_recover, late.within_objective) == (400, False)


def test_an_open_incident_is_found_by_its_root_and_not_by_who_is_affected(book: Book) -> None:
    incident = added(book)
    assert book.covering("qdrant") == incident
    assert book.covering("archon-search") is None
    book.change(incident.id, lambda one: one.note(at(5), "recovered", "well"))
    assert book.covering("qdrant") is None


def test_a_complete_failure_covers_everybody(book: Book) -> None:
    incident = book.add(open_incident("complete_failure", ("qdrant", "memgraph"), OWN, at(0)))
    assert book.covering("archon-mcp") == incident


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"id": 1}', b"\xff\xfe", b"null", json.dumps({"id": "x", "kind": "single_service"}).encode()],
)
def test_a_damaged_file_is_set_aside_and_said_and_the_others_are_read(book: Book, content: bytes) -> None:
    whole, broken = added(book), added(book, "postgres")
    file = book.directory / broken.id / "incident.json"
    file.write_bytes(content)
    assert book.all() == [whole]
    assert [path.parent.name for path in book.damaged()] == [broken.id]
    assert book.damaged()[0].read_bytes() == content
    with pytest.raises(ConfigurationError):
        book.change(broken.id, lambda one: one)


def test_a_field_nobody_knows_is_damage(book: Book) -> None:
    incident = added(book)
    file = book.directory / incident.id / "incident.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"surprise": 1}))
    assert book.all() == [] and book.damaged()


def test_a_killed_write_leaves_what_was_there(book: Book) -> None:
    incident = added(book)
    (book.directory / incident.id / ".incident.json.x1").write_text('{"half": ')
    assert book.all() == [incident]


def test_only_what_is_over_is_removed_by_count_and_by_age(book: Book) -> None:
    day = 86_400.0
    old, middle, new = (added(book, seconds=days * day, over=True) for days in (0, 10, 20))
    still_open = added(book, "postgres", seconds=0)
    assert book.prune(at(21 * day), kept=10, days=15) == [old.id]
    assert book.prune(at(21 * day), kept=1, days=365) == [middle.id]
    assert {one.id for one in book.all()} == {new.id, still_open.id}


def test_an_incident_is_found_by_the_beginning_of_its_id(book: Book) -> None:
    incident = added(book)
    assert book.get(incident.id[:-2]).id == incident.id
    for unknown in ("1999", "", "../x"):
        with pytest.raises(ConfigurationError, match="no incident"):
            book.get(unknown)
    added(book, "postgres")
    with pytest.raises(ConfigurationError, match="more than one"):
        book.get(incident.id[:10])


def test_actions_of_the_last_hour_are_counted_over_all_incidents(book: Book) -> None:
    step = Step(verb="restart", services=("qdrant",))
    for seconds in (0.0, 1000.0, 5000.0):
        incident = added(book, seconds=seconds, over=True)
        begun = Event(at=at(seconds), kind="started", step=step)
        book.change(incident.id, lambda one, begun=begun: one.with_event(begun))  # type: ignore[misc]
    assert book.recent(at(5100)) == {"qdrant": 1}
    assert book.recent(at(5100), timedelta(hours=2)) == {"qdrant": 3}


HOLD = """
import sys
from pathlib import Path
from archon_dagster.recovery.book import Book
with Book(Path(sys.argv[1])).turn():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_at_a_time_acts_and_a_killed_one_gives_its_turn_back(book: Book) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(book.home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        assert book.at_work
        with pytest.raises(ServiceError, match="another recovery is at work"), book.turn():
            pass
    finally:
        other.kill()
        other.communicate()
    assert not book.at_work
    with book.turn():
        assert book.at_work
