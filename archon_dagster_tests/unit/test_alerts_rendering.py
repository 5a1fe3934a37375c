"""Notices as they are read at 3 a.m."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from archon_dagster.alerts.alert import Alert, Kind, Notice
from archon_dagster.alerts.rendering import Sender, elapsed, markdown, text, title

SINCE = datetime(2026, 11, 24, 2, 2, 11, tzinfo=UTC)
SENDER = Sender("production", "ops1", ZoneInfo("Europe/Paris"))


def notice(kind: Kind = "opened", minutes: float = 0, outcome: str = "", **changes: Any) -> Notice:
    said: dict[str, Any] = {
        "incident": "20261124T020211Z-qdrant",
        "severity": "critical",
        "title": "qdrant does not answer",
        "what": "GET /readyz: connection refused, 3 times in a row",
        "since": SINCE,
        "tried": ("evidence was kept", "restarted qdrant: still refused after 30 s"),
        "todo": ("look at the evidence: archon incidents show 20261124T020211Z-qdrant", "archon restore latest --plan"),
        "link": "http://127.0.0.1:3000/runs/abc",
    }
    return Notice(kind, Alert(**said | changes), SINCE + timedelta(minutes=minutes), outcome)


def test_an_alert_answers_what_since_when_tried_next_and_where() -> None:
    assert text(notice(), SENDER) == (
        "What: GET /readyz: connection refused, 3 times in a row\n"
        "Since: Tue 2026-11-24 03:02:11 CET\n"
        "Tried:\n"
        "- evidence was kept\n"
        "- restarted qdrant: still refused after 30 s\n"
        "Do next:\n"
        "- look at the evidence: archon incidents show 20261124T020211Z-qdrant\n"
        "- archon restore latest --plan\n"
        "Look: http://127.0.0.1:3000/runs/abc\n"
        "Incident: 20261124T020211Z-qdrant\n"
        "From: archon on ops1, production"
    )


def test_a_resolved_notice_says_how_and_how_long_and_asks_for_nothing() -> None:
    over = notice("resolved", 12, "restarted")
    assert title(over, SENDER) == "[production] RESOLVED after 12 min: qdrant does not answer"
    said = text(over, SENDER).splitlines()
    assert said[:3] == [
        "Over: restarted",
        "What was wrong: GET /readyz: connection refused, 3 times in a row",
        "Since: Tue 2026-11-24 03:02:11 CET, for 12 min",
    ]
    assert "Do next" not in text(over, SENDER)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("opened", "[production] CRITICAL: qdrant does not answer"),
        ("worse", "[production] NOW CRITICAL: qdrant does not answer"),
        ("handed", "[production] CRITICAL, A PERSON IS NEEDED: qdrant does not answer"),
        ("reminder", "[production] STILL CRITICAL after 4 h 5 min: qdrant does not answer"),
    ],
)
def test_the_title_says_which_platform_and_how_bad(kind: Kind, says: str) -> None:
    assert title(notice(kind, 245), SENDER) == says


def test_what_nobody_tried_and_where_nothing_is_to_be_seen_is_left_out() -> None:
    bare = text(notice(tried=(), todo=(), link=None), SENDER)
    assert [line.partition(":")[0] for line in bare.splitlines()] == ["What", "Since", "Incident", "From"]


def test_a_title_cannot_become_a_header_of_a_mail() -> None:
    said = title(notice(title="x\r\nBcc: all@example.org"), SENDER)
    assert said == "[production] CRITICAL: x Bcc: all@example.org"


def test_long_answers_are_cut() -> None:
    said = notice(title="t" * 5000, what="w" * 100_000)
    assert len(title(said, SENDER)) <= 160
    assert len(text(said, SENDER)) < 3000


def test_markdown_says_the_same_and_formats_nothing_that_came_from_outside() -> None:
    said = markdown(notice(what="**not bold** [click](http://evil) <b>_x_</b> `rm`"), SENDER)
    assert r"**What:** \*\*not bold\*\* \[click\](http://evil) \<b\>\_x\_\</b\> \`rm\`" in said
    assert "**Tried:**\n\n- evidence was kept\n- restarted qdrant" in said
    assert "**Look:** http://127.0.0.1:3000/runs/abc" in said


@pytest.mark.parametrize(
    ("seconds", "says"),
    [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (11_100, "3 h 5 min"), (190_000, "2 d 4 h")],
)
def test_how_long(seconds: float, says: str) -> None:
    assert elapsed(seconds) == says
