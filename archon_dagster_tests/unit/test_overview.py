"""What `archon status` concludes from what it was told."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from archon_dagster.cli.asking import ask_all
from archon_dagster.cli.overview import STALE, Loss, ServiceLine, Status, advise, loss_of

GOOD = Status(
    services=[ServiceLine("qdrant", "running", True, "ready", 0.1), ServiceLine("postgres", "running", True, "", 0.1)],
    last_good_backup="20261124T030000Z-7f3a",
    last_good_age=60.0,
    last_backup_trouble=None,
    losses=[],
    uncounted={},
    at_work=None,
    interrupted_restore=None,
    webserver=None,
    next="",
)


def test_a_question_that_hangs_keeps_nobody_waiting() -> None:
    begin, never = time.monotonic(), threading.Event()
    answers = ask_all({"hangs": never.wait, "answers": lambda: True, "fails": lambda: 1 // 0}, 0.2)
    assert time.monotonic() - begin < 5
    assert isinstance(answers["hangs"], TimeoutError)
    assert answers["answers"] is True
    assert isinstance(answers["fails"], ZeroDivisionError)
    never.set()


def test_a_part_that_is_empty_or_gone_is_a_loss() -> None:
    assert loss_of("vectors", {"a": 0, "c": 900}, {"a": 10, "b": 5, "c": 900}) == Loss("vectors", 900, 915, ("a", "b"))


def test_a_store_with_less_than_half_of_its_records_has_lost_them() -> None:
    assert loss_of("graph", {"nodes": 49}, {"nodes": 100}) == Loss("graph", 49, 100, ())


def test_a_store_that_has_grown_or_shrunk_a_little_has_lost_nothing() -> None:
    assert loss_of("graph", {"nodes": 90, "relationships": 7}, {"nodes": 100, "relationships": 0}) is None


def test_a_store_that_was_empty_in_the_backup_cannot_lose_anything() -> None:
    assert loss_of("vectors", {}, {"quality_vectors": 0}) is None


DOWN = [ServiceLine("qdrant", "exited", False, "refused", 0.1), ServiceLine("postgres", "exited", False, "", 0.1)]
FROZEN = [ServiceLine("qdrant", "paused", False, "no answer", 5.0)]


@pytest.mark.parametrize(
    ("changes", "command"),
    [
        ({}, "nothing"),
        ({"services": []}, "archon sandbox up"),
        ({"services": DOWN[:1]}, "archon sandbox start qdrant"),
        ({"services": DOWN}, "archon sandbox up"),
        ({"services": FROZEN}, "archon sandbox kill qdrant && archon sandbox start qdrant"),
        ({"services": FROZEN, "at_work": "backup"}, "wait: backup is at work"),
        ({"losses": [Loss("graph", 0, 9, ("nodes",))]}, "archon restore 20261124T030000Z-7f3a --only graph --plan"),
        ({"last_backup_trouble": "failed"}, "archon backups show newest; then archon backup"),
        ({"last_good_backup": None, "last_good_age": None}, "archon backup"),
        ({"last_good_age": STALE + 1}, "archon backup"),
    ],
)
def test_the_next_command(changes: dict[str, object], command: str) -> None:
    assert advise(replace(GOOD, **changes), "newest").endswith(command)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({}, False),
        ({"services": []}, True),
        ({"services": FROZEN}, True),
        ({"losses": [Loss("graph", 0, 9, ())]}, True),
        ({"interrupted_restore": "restore of …"}, True),
        ({"last_backup_trouble": "failed"}, False),
    ],
)
def test_what_counts_as_broken(changes: dict[str, object], broken: bool) -> None:
    assert replace(GOOD, **changes).broken is broken  # type: ignore[arg-type]
