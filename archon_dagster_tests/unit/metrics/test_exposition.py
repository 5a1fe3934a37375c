"""Any home gives an exposition that can be read, and what it says is what is stored."""

from __future__ import annotations

import re
import socket
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from archon_dagster.alerts.recovery_points import limits, newest_backups
from archon_dagster.health import knowledge
from archon_dagster.health import state as states
from archon_dagster.health.evaluation import ServiceState
from archon_dagster.health.history import History
from archon_dagster.health.samples import Facet
from archon_dagster.health.state import MonitorState
from archon_dagster.metrics.gathering import Facts, Source
from archon_dagster.metrics.gauge import gauge
from archon_dagster.metrics.health import RECENT, STATES
from archon_dagster.metrics.serving import registry_of
from archon_dagster.platform import automation
from archon_dagster.platform.services import BY_NAME, CATALOGUE
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.recovery.book import Book
from archon_dagster.recovery.incident import Event, Step, open_incident
from archon_dagster.repository.verification import CheckRecord
from archon_dagster_tests.unit.health.samples import KINDS, sample
from archon_dagster_tests.unit.metrics.full_home import WATCHED, every_source, exposition, filled, looked, names

Values = dict[str, dict[tuple[str, ...], float]]


def read(text: str) -> Values:
    """By name, by the values of the labels in the order of their names."""
    found: Values = {}
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            found.setdefault(one.name, {})[tuple(one.labels.values())] = one.value
    return found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def of(home: Path) -> Settings:
    return load_settings(ARCHON_HOME=home, ARCHON_RUNTIME="processes")


texts = st.text(max_size=40)
instants = st.floats(min_value=0, max_value=4e9)
services = st.sampled_from([*BY_NAME, "a-service-of-another-version"])
facets = st.builds(Facet, st.just("ready"), st.one_of(st.none(), st.booleans()), texts)
believed = st.builds(
    ServiceState, st.sampled_from(STATES), instants, instants, flapping=st.booleans(), detail=texts,
    failed=st.tuples(facets),
)  # fmt: skip
maybe = st.one_of(st.none(), st.booleans())
tested = st.builds(knowledge.Tested, maybe, texts, instants, st.one_of(st.none(), instants))
homes = st.builds(
    MonitorState,
    at=instants,
    services=st.dictionaries(services, believed),
    causes=st.dictionaries(services, st.lists(services, unique=True).map(tuple)),
    known=st.builds(knowledge.Knowledge, end_to_end=tested),
)
looks = st.lists(st.tuples(services, st.sampled_from(sorted(KINDS)), instants))


@given(state=homes, seen=looks, titles=st.lists(texts, max_size=3))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_home_gives_an_exposition_that_can_be_read(
    state: MonitorState, seen: list[tuple[str, str, float]], titles: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        home, now = Path(directory), datetime.now(UTC)
        states.save(home, state)
        History(home).add([sample(kind, at, name) for name, kind, at in seen], 0.0)
        for text in titles:
            Book(home).add(open_incident("single_service", (text,), (text,), now, text=text))
        found = read(exposition(of(home)))
    assert found["archon_health_monitor_last_sample_timestamp_seconds"][()] == pytest.approx(state.at)
    for name, one in state.services.items():
        own = {key[1]: value for key, value in found["archon_service_state"].items() if key[0] == name}
        assert own == {word: float(word == one.state) for word in STATES}
    assert found["archon_incidents"]["open",] == len(titles)


def test_any_label_is_read_again_as_it_was() -> None:
    for text in ('a "quote"', "back\\slash", "two\nlines", "Größe", "{}", ""):
        (family,) = text_string_to_metric_families(_rendered(text))
        assert family.samples[0].labels == {"disk": text}


def test_a_name_that_is_no_text_costs_no_other_metric() -> None:
    (family,) = text_string_to_metric_families(_rendered("/mnt/\udcff"))
    assert family.samples[0].labels == {"disk": "/mnt/?"}


def _rendered(label: str) -> str:
    """An exposition with one label of ours in it."""
    facts = Facts([Source("one", lambda _: [gauge("archon_x", "help\nof two lines", {(label,): 1.0}, ("disk",))], 1.0)])
    facts.look(5.0)
    text = generate_latest(registry_of(facts)).decode()
    return text[text.index("# HELP archon_x") :]


def test_an_empty_home_is_told_and_nothing_is_made_in_it(home: Path) -> None:
    home.mkdir()
    found = read(exposition(of(home)))
    assert found["archon_health_monitor_last_sample_timestamp_seconds"] == {(): 0.0}
    assert set(found["archon_service_watched"].values()) == {0.0}
    assert "archon_service_state" not in found
    assert "archon_backup_newest_good_timestamp_seconds" not in found
    assert found["archon_restore_drill_timestamp_seconds"] == {(): 0.0}
    assert list(home.iterdir()) == []


def test_every_service_of_the_catalogue_is_told_with_what_an_alert_needs(home: Path) -> None:
    found = read(exposition(filled(home).settings))
    assert {key[0] for key in found["archon_service_watched"]} == set(BY_NAME)
    assert {key[0] for key in found["archon_service_state"]} == set(WATCHED)
    critical_external_service_store_title = {
        (str(one.critical).lower(), str(one.external).lower(), one.name, one.store or "", one.title)
        for one in CATALOGUE
    }
    assert set(found["archon_service_info"]) == critical_external_service_store_title


def test_a_service_that_is_down_its_victim_and_the_cause_are_told(home: Path) -> None:
    home.mkdir()
    looked(home, 1000.0, unwell=("qdrant", "archon-search"), cause="qdrant")
    found = read(exposition(of(home)))
    assert found["archon_service_state"]["qdrant", "unhealthy"] == 1
    assert found["archon_service_state"]["qdrant", "healthy"] == 0
    assert found["archon_service_cause"] == {("qdrant", "archon-search"): 1.0}  # cause, service
    assert found["archon_health_monitor_last_sample_timestamp_seconds"][()] == 1000.0


def test_a_response_time_is_told_only_as_long_as_it_is_of_now(home: Path) -> None:
    home.mkdir()
    now = datetime.now(UTC).timestamp()
    looked(home, now)
    History(home).add([sample("dead", now + 1, "memgraph")], now)
    found = read(exposition(of(home)))["archon_service_response_seconds"]
    assert found["qdrant",] == 0.012
    assert ("memgraph",) not in found
    (home / "health" / "history.db").unlink()
    looked(home, now - 2 * RECENT)
    assert "archon_service_response_seconds" not in read(exposition(of(home)))


def test_ages_and_limits_of_backups_are_those_of_the_control_planes_own_alerts(home: Path) -> None:
    platform = filled(home)
    schedules = frozenset({"daily_backup", "hourly_backup"})
    found = read(exposition(platform.settings, schedules=schedules))
    newest = {(store,): one[1].timestamp() for store, one in newest_backups(platform.settings).items() if one}
    assert len(newest) == 4
    assert found["archon_backup_newest_good_timestamp_seconds"] == pytest.approx(newest)
    assert found["archon_backup_age_limit_seconds"] == {(store,): limit for store, limit in limits(schedules).items()}


def test_a_backup_that_failed_a_check_is_told_and_is_not_the_newest_good_one(home: Path) -> None:
    platform = filled(home)
    (entry,) = platform.repository.backups()
    before = read(exposition(platform.settings))
    assert before["archon_backup_newest_checks"]["passed",] == 1
    bad = CheckRecord(name="digests", passed=False, detail="a chunk is wrong", time=datetime.now(UTC))
    platform.repository.record(entry.id, bad)
    found = read(exposition(platform.settings))
    assert found["archon_backup_newest_checks"]["failed",] == 1
    assert "archon_backup_newest_good_timestamp_seconds" not in found
    assert found["archon_backups"]["complete",] == 1


def test_how_the_newest_drill_came_out_is_told(home: Path) -> None:
    found = read(exposition(filled(home).settings))
    assert found["archon_restore_drill_passed"] == {(): 1.0}
    assert found["archon_restore_drill_duration_seconds"] == {(): 12.5}


def test_incidents_actions_and_the_pause_are_told(home: Path) -> None:
    now, book = datetime.now(UTC), Book(home)
    incident = book.add(open_incident("single_service", ("qdrant",), ("qdrant",), now))
    step = Step(verb="restart", services=("qdrant",))
    for minutes in (1, 2, 90):
        event = Event(at=now - timedelta(minutes=minutes), kind="started", step=step)
        book.change(incident.id, lambda one, event=event: one.with_event(event))  # type: ignore[misc]
    book.change(incident.id, lambda one: one.note(now, "escalated", "a person is needed"))
    automation.pause(home, timedelta(hours=1), "disk is replaced", now)
    found = read(exposition(of(home)))
    assert found["archon_incidents"] == {("open",): 0.0, ("escalated",): 1.0}
    assert found["archon_recovery_actions_last_hour"]["qdrant",] == 2
    assert found["archon_recovery_actions_last_hour"]["memgraph",] == 0
    assert found["archon_automation_paused"] == {(): 1.0}


def test_whether_the_control_plane_can_tell_people_is_told_and_never_where(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "T0ken-7Hq2"
    monkeypatch.setenv("ARCHON_ALERT_URLS", f"json://u:{secret}@127.0.0.1:1/x critical=no-url-{secret}")
    monkeypatch.setenv("POSTGRES_PASSWORD", secret)
    monkeypatch.setenv("QDRANT_API_KEY", secret)
    text = exposition(of(home))
    assert read(text)["archon_alert_channels"] == {("info",): 1.0, ("warning",): 0.0, ("critical",): 0.0}
    assert read(text)["archon_alert_troubles"] == {(): 1.0}
    assert secret not in text


def test_disks_are_told_once_each(home: Path) -> None:
    home.mkdir()
    found = read(exposition(of(home)))
    assert found["archon_disk_size_bytes"].keys() == found["archon_disk_free_bytes"].keys() == {(str(home),)}
    assert 0 <= found["archon_disk_free_bytes"][str(home),] <= found["archon_disk_size_bytes"][str(home),]


def test_names_follow_the_conventions_and_every_metric_has_its_help(home: Path) -> None:
    text = exposition(filled(home).settings)
    for family in text_string_to_metric_families(text):
        assert re.fullmatch(r"archon_[a-z_]+", family.name)
        assert family.type == "gauge", family.name
        assert family.documentation.endswith(".")
        assert not re.search(r"_(ms|milliseconds|minutes|hours|percent|total|mib|kb)(_|$)", family.name)
        if "timestamp" in family.name:
            assert family.name.endswith("_timestamp_seconds")
    assert {"archon_build_info", "archon_metrics_source_up"} <= names(text)


def test_a_damaged_state_is_no_reason_to_say_nothing(home: Path) -> None:
    (home / "health").mkdir(parents=True)
    (home / "health" / "monitor.json").write_text("{")
    assert read(exposition(of(home)))["archon_health_monitor_last_sample_timestamp_seconds"] == {(): 0.0}


def test_what_a_repository_does_not_answer_is_told_as_that(home: Path) -> None:
    platform = filled(home)
    facts = Facts(every_source(platform.settings))
    facts.look(30.0)
    (home / "repository" / "config.json").write_text("garbage")
    facts.look(30.0)
    assert set(facts.troubles) == {"backups"}
    told = {one.name: one for one in facts.collect()}
    up = {tuple(s.labels.values()): s.value for s in told["archon_metrics_source_up"].samples}
    assert up["backups",] == 0 and up["health",] == 1
    assert told["archon_backup_newest_good_timestamp_seconds"].samples, "what was known stays, its age is told"


def test_the_state_of_a_platform_is_a_set(home: Path) -> None:
    home.mkdir()
    looked(home, 5.0)
    found = read(exposition(of(home)))["archon_service_state"]
    for name in {key[0] for key in found}:
        assert sum(value for key, value in found.items() if key[0] == name) == 1


def test_a_service_of_another_version_is_told_like_any_other(home: Path) -> None:
    state = MonitorState(at=1.0, services={"archon-new": replace(ServiceState(), state="degraded")})
    states.save(home, state)
    assert read(exposition(of(home)))["archon_service_state"]["archon-new", "degraded"] == 1


def test_nobody_is_asked_anything(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    platform = filled(home)

    def connect(*_: object) -> None:
        raise AssertionError("somebody was asked")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket.socket, "connect_ex", connect)
    assert "archon_service_state" in names(exposition(platform.settings))
