"""Alerts that really arrive, or really do not: against a mail server, an HTTP server, and what is wrong with them."""

from __future__ import annotations

import json
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

import pytest
from typer.testing import CliRunner

from archon_dagster.alerts import heartbeat
from archon_dagster.alerts.alert import Alert
from archon_dagster.alerts.alerting import Alerting, troubles
from archon_dagster.alerts.book import Cleared, Raised, Tick
from archon_dagster.alerts.outbox import Pace
from archon_dagster.alerts.record import RecordFile
from archon_dagster.cli.main import app
from archon_dagster.health import windows
from archon_dagster.platform import automation
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster_tests.alert_receivers import Mail, Post, serving
from archon_dagster_tests.eventually import eventually

SECRET = "xoxb-7Hq2"
START = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def post() -> Iterator[Post]:
    server = Post()
    with serving(server):
        yield server


@pytest.fixture
def mail() -> Iterator[Mail]:
    server = Mail()
    with serving(server):
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


def post_url(port: int) -> str:
    return f"json://robot:{SECRET}@127.0.0.1:{port}/hook/{SECRET}"


def mail_url(port: int) -> str:
    return f"mailto://127.0.0.1:{port}/?from=archon@example.org&to=ops@example.org"


@pytest.fixture
def alerting(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Callable[..., Alerting]:
    def build(*urls: str, **pace: float) -> Alerting:
        monkeypatch.setenv("ARCHON_ALERT_URLS", " ".join(urls))
        return Alerting(load_settings(), pace=Pace(**pace), clock=clock)

    return build


def down(incident: str = "20261124T030000Z-qdrant", **changes: Any) -> Alert:
    said: dict[str, Any] = {
        "severity": "critical",
        "title": "qdrant does not answer",
        "what": 'GET /readyz said "no": <b>refused</b>\n3 times',
        "since": START,
        "tried": ("evidence was kept", "restarted qdrant: still refused"),
        "todo": ("archon restore latest --only vectors --plan",),
        "link": "http://127.0.0.1:3000/runs/abc",
    }
    return Alert(incident, **said | changes)


def text_of(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def test_an_incident_is_told_by_mail_and_by_webhook_from_beginning_to_end(
    alerting: Callable[..., Alerting], post: Post, mail: Mail, clock: Clock
) -> None:
    told = alerting(post_url(post.port), mail_url(mail.port))
    told.tell(Raised(down()))
    assert str(told.flush()) == "2 sent"
    clock.later(4 * 3600)
    told.tell(Tick())
    told.flush()
    clock.later(300)
    told.tell(Cleared(down().incident, "restarted by the recovery"))
    told.flush()
    titles = [
        "[production] CRITICAL: qdrant does not answer",
        "[production] STILL CRITICAL after 4 h 0 min: qdrant does not answer",
        "[production] RESOLVED after 4 h 5 min: qdrant does not answer",
    ]
    assert post.titles() == [message["subject"] for message in mail.received] == titles
    assert [said["type"] for said in post.received] == ["failure", "failure", "success"]
    first, _, last = post.received
    assert first["message"].splitlines()[:7] == [
        'What: GET /readyz said "no": <b>refused</b> 3 times',
        "Since: Tue 2026-11-24 03:00:00 UTC",
        "Tried:",
        "- evidence was kept",
        "- restarted qdrant: still refused",
        "Do next: archon restore latest --only vectors --plan",
        "Look: http://127.0.0.1:3000/runs/abc",
    ]
    assert last["message"].startswith("Over: restarted by the recovery\nWhat was wrong: GET")
    assert told.flush().sent == 0


def test_a_mail_can_be_read_as_text_and_as_html(alerting: Callable[..., Alerting], mail: Mail) -> None:
    told = alerting(mail_url(mail.port))
    told.tell(Raised(down()))
    told.flush()
    (message,) = mail.received
    html = text_of(message, "html")
    assert message["to"] == "ops@example.org"
    assert "<strong>What:</strong> GET /readyz said" in html
    assert "&lt;b&gt;refused&lt;/b&gt;" in html
    assert "<li>restarted qdrant: still refused</li>" in html
    assert "http://127.0.0.1:3000/runs/abc" in html
    plain = text_of(message, "plain")
    assert "What: GET /readyz" in plain
    assert "archon restore latest --only vectors --plan" in plain


def test_who_wants_to_be_woken_hears_only_what_is_critical(alerting: Callable[..., Alerting], post: Post) -> None:
    told = alerting(f"critical={post_url(post.port)}", f"critical=json://127.0.0.1:{post.port}/pager")
    told.tell(Raised(down("a", severity="warning")))
    assert told.flush().sent == 0
    told.tell(Raised(down("a", severity="critical")))
    assert told.flush().sent == 2
    assert post.titles() == ["[production] NOW CRITICAL: qdrant does not answer"] * 2


def test_a_maintenance_window_silences_those_it_names_until_it_is_closed(
    alerting: Callable[..., Alerting], post: Post, clock: Clock
) -> None:
    told, home = alerting(post_url(post.port)), load_settings().home
    windows.open_window(home, 3600, "a new disk", clock.now.timestamp(), ["qdrant"])
    told.tell(Raised(down("a", services=("qdrant",))))
    told.tell(Raised(down("b", title="memgraph does not answer", services=("memgraph",))))
    told.flush()
    assert post.titles() == ["[production] CRITICAL: memgraph does not answer"]
    windows.open_window(home, 3600, "everything moves", clock.now.timestamp())
    told.tell(Cleared("b"))
    assert told.flush().sent == 0
    windows.close_windows(home, clock.now.timestamp())
    told.tell(Tick())
    told.flush()
    assert sorted(title.split()[1] for title in post.titles()[1:]) == ["CRITICAL:", "RESOLVED"]


def test_a_paused_automation_silences_everything_until_it_is_resumed(
    alerting: Callable[..., Alerting], post: Post, clock: Clock
) -> None:
    told, home = alerting(post_url(post.port)), load_settings().home
    automation.pause(home, timedelta(hours=2), "a new disk", clock.now)
    told.tell(Raised(down("a", services=("qdrant",))))
    assert told.flush().sent == 0
    automation.resume(home, clock.now)
    told.tell(Tick())
    assert told.flush().sent == 1


@pytest.fixture
def dead_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def secrets_seen(told: Alerting, caplog: pytest.LogCaptureFixture, flushed: object) -> bool:
    return any(SECRET in said for said in (caplog.text, repr(told.channels), str(flushed), told.file.path.read_text()))


@pytest.mark.parametrize("fault", ["down", "error", "hangs", "malformed", "unknown"])
def test_a_channel_that_does_not_work_is_known_and_stops_no_other(
    alerting: Callable[..., Alerting], post: Post, dead_port: int, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Post()
    with serving(broken), caplog.at_level("DEBUG"):
        broken.answer = 500
        if fault == "hangs":
            broken.hangs.set()
        urls, reasons = {
            "down": (post_url(dead_port), "Connection refused"),
            "error": (post_url(broken.port), "error=500"),
            "hangs": (post_url(broken.port) + "?rto=60", "no answer within 10 s"),
            "malformed": (f"json://:{SECRET}@:0/{SECRET}", "does not accept this URL"),
            "unknown": (f"carrierpigeon://{SECRET}", "does not accept this URL"),
        }[fault]
        # the limit leaves a loaded machine time for the channel that works
        told = alerting(urls, f"json://127.0.0.1:{post.port}/works", attempt=10 if fault == "hangs" else 60)
        told.tell(Raised(down()))
        flushed = told.flush()
    assert post.titles() == ["[production] CRITICAL: qdrant does not answer"]
    assert flushed.sent == 1
    assert reasons in str(flushed)
    (trouble,) = troubles(told.file.read(), told.channels, START)
    assert reasons in trouble
    assert ("never delivered" in trouble) == (fault in ("malformed", "unknown"))
    assert not secrets_seen(told, caplog, flushed)


def test_a_mail_server_that_takes_no_mail_is_tried_again_until_it_does(
    alerting: Callable[..., Alerting], mail: Mail, clock: Clock
) -> None:
    told = alerting(mail_url(mail.port), first=5)
    mail.refuses = True
    told.tell(Raised(down()))
    assert "mailto://127.0.0.1: " in str(told.flush())
    assert str(told.flush()) == "nothing to send"  # not before its time
    mail.refuses = False
    clock.later(5)
    assert str(told.flush()) == "1 sent"
    assert len(mail.received) == 1
    assert troubles(told.file.read(), told.channels, clock.now) == []


def test_the_end_never_arrives_before_the_beginning(
    alerting: Callable[..., Alerting], post: Post, clock: Clock
) -> None:
    told = alerting(post_url(post.port), first=5)
    post.answer = 503
    told.tell(Raised(down()))
    told.flush()
    post.answer = 200
    told.tell(Cleared(down().incident))
    assert told.flush().sent == 0
    clock.later(5)
    assert told.flush().sent == 2
    assert [title.split()[1] for title in post.titles()] == ["CRITICAL:", "RESOLVED"]


def test_what_could_not_be_delivered_in_time_is_kept_and_listed(
    alerting: Callable[..., Alerting], post: Post, clock: Clock
) -> None:
    told = alerting(post_url(post.port), deadline=60)
    post.answer = 500
    told.tell(Raised(down()))
    told.flush()
    clock.later(60)
    told.flush()
    record = told.file.read()
    assert record.outbox == ()
    (lost,) = record.undelivered
    assert (lost.channel, lost.attempts) == ("json://127.0.0.1", 2)
    assert "error=500" in lost.error
    clock.later(3600)
    assert told.flush().sent == 0


def test_two_that_send_at_the_same_time_send_once(alerting: Callable[..., Alerting], post: Post) -> None:
    told = alerting(post_url(post.port))
    for number in range(3):
        told.tell(Raised(down(f"incident-{number}")))
    threads = [threading.Thread(target=told.flush) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(post.received) == 3
    assert {said["message"].split("Incident: ")[1].split()[0] for said in post.received} == {
        f"incident-{number}" for number in range(3)
    }


def test_what_a_process_that_died_was_sending_is_sent_by_the_next(
    alerting: Callable[..., Alerting], post: Post, clock: Clock
) -> None:
    told = alerting(post_url(post.port), attempt=20)
    told.tell(Raised(down()))
    told.file.change(told._claim)  # taken, and never heard of again
    assert told.flush().sent == 0
    clock.later(60)
    assert told.flush().sent == 1


def test_a_channel_that_was_taken_out_of_the_settings_is_not_waited_for(
    alerting: Callable[..., Alerting], post: Post
) -> None:
    alerting(post_url(post.port)).tell(Raised(down()))
    changed = alerting("jsons://elsewhere.example.org")
    changed.flush()
    (lost,) = changed.file.read().undelivered
    assert lost.error == "it is no longer in ARCHON_ALERT_URLS"


def test_the_record_is_for_its_owner_only_and_a_damaged_one_stops_nobody(
    alerting: Callable[..., Alerting], post: Post, clock: Clock
) -> None:
    told = alerting(post_url(post.port))
    told.tell(Raised(down()))
    assert stat.S_IMODE(told.file.path.stat().st_mode) == 0o600
    told.file.path.write_text('{"book": ')
    told.tell(Raised(down("another")))
    assert told.flush().sent == 1
    (trouble,) = troubles(told.file.read(), told.channels, clock.now)
    (aside,) = told.file.path.parent.glob("alerts.damaged-*.json")
    assert str(aside) in trouble
    assert aside.read_text() == '{"book": '


# the heartbeat


def beating(monkeypatch: pytest.MonkeyPatch, url: str) -> Settings:
    monkeypatch.setenv("ARCHON_HEARTBEAT_URL", url)
    return load_settings()


def beat(settings: Settings, **limit: float) -> str:
    assert settings.heartbeat_url is not None
    outcome = heartbeat.beat(settings.heartbeat_url, RecordFile(settings.home), START, **limit)
    assert SECRET not in outcome.why
    return "answered" if outcome.ok else outcome.why


def test_a_heartbeat_is_heard_and_noted(monkeypatch: pytest.MonkeyPatch, post: Post) -> None:
    settings = beating(monkeypatch, f"http://127.0.0.1:{post.port}/ping/{SECRET}")
    assert beat(settings) == "answered"
    assert post.beats == [f"/ping/{SECRET}"]
    noted = RecordFile(settings.home).read().beat
    assert noted is not None
    assert (noted.answered, noted.error) == (START, "")


@pytest.mark.parametrize(
    ("fault", "says"),
    [("down", "Connection refused"), ("error", "HTTP 500"), ("hangs", "no answer within 1 s"), ("scheme", "http://")],
)
def test_a_heartbeat_that_is_not_answered_is_noted(
    monkeypatch: pytest.MonkeyPatch, post: Post, dead_port: int, fault: str, says: str
) -> None:
    post.answer = 500
    if fault == "hangs":
        post.hangs.set()
    port = dead_port if fault == "down" else post.port
    scheme = "file" if fault == "scheme" else "http"
    settings = beating(monkeypatch, f"{scheme}://127.0.0.1:{port}/{SECRET}")
    assert says in beat(settings, limit=1 if fault == "hangs" else 60)
    record = RecordFile(settings.home).read()
    assert says in troubles(record, (), START)[0]
    assert SECRET not in RecordFile(settings.home).path.read_text()


# the command line


def archon(*arguments: str) -> tuple[int, str, BaseException | None]:
    result = CliRunner().invoke(app, ["alerts", *arguments])
    return result.exit_code, result.output, result.exception


def test_the_test_notice_says_which_channel_has_taken_it(
    alerting: Callable[..., Alerting], post: Post, mail: Mail, dead_port: int
) -> None:
    alerting(post_url(post.port), mail_url(mail.port))
    code, output, _ = archon("test")
    assert code == 0
    assert output.count("taken") == 2
    assert post.titles() == ["[production] INFO: this is a test, nothing is wrong"]
    alerting(post_url(dead_port), mail_url(mail.port))
    code, output, error = archon("test", "--json")
    assert code != 0
    assert "not every channel" in str(error)
    assert [one["ok"] for one in json.loads(output)] == [False, True]
    assert SECRET not in output


def test_the_list_shows_what_is_open_and_what_did_not_arrive(
    alerting: Callable[..., Alerting], post: Post, dead_port: int
) -> None:
    assert "no channel is configured" in archon("list")[1]
    told = alerting(post_url(dead_port))
    told.tell(Raised(down()))
    told.flush()
    code, output, _ = archon("list")
    assert code == 6
    assert "qdrant does not answer" in output
    assert "not delivered to json://127.0.0.1" in " ".join(output.split())
    listed = json.loads(archon("list", "--json")[1])
    assert [entry["alert"]["incident"] for entry in listed["open"]] == [down().incident]
    assert SECRET not in output + json.dumps(listed)


def test_what_nobody_else_can_end_is_ended_by_hand(alerting: Callable[..., Alerting], post: Post) -> None:
    told = alerting(post_url(post.port))
    told.tell(Raised(down()))
    told.flush()
    assert archon("close", down().incident, "--why", "the disk was replaced")[0] == 0
    eventually(lambda: len(post.received) == 2)
    assert post.received[-1]["message"].startswith("Over: the disk was replaced")
    assert "no incident" in str(archon("close", down().incident)[2])
