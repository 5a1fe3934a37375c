"""Channels from the settings, and that nothing secret of them is ever seen."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from archon_dagster.alerts.alert import Severity
from archon_dagster.alerts.channels import Channel, address, channels_of, scrub
from archon_dagster.platform.settings import load_settings

SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops"
MAIL = "mailto://robot:s3cr%40t@mail.example.org:587/?from=robot@example.org&to=ops@example.org,night@example.org"


def channels(text: str) -> tuple[Channel, ...]:
    return channels_of(SecretStr(text))


@pytest.mark.parametrize("between", [" ", "\n", ", ", ",", " , ", "\n\n  "])
def test_several_urls_stand_one_after_the_other(between: str) -> None:
    found = channels(between.join([SLACK, MAIL, "json://127.0.0.1:8080/hook"]))
    assert [one.url.get_secret_value() for one in found] == [SLACK, MAIL, "json://127.0.0.1:8080/hook"]
    assert [one.name for one in found] == ["slack://…", "mailto://mail.example.org", "json://127.0.0.1"]


def test_no_url_is_no_channel() -> None:
    assert channels("") == channels(" \n ") == ()


@pytest.mark.parametrize(
    ("entry", "hears"),
    [
        (SLACK, ["info", "warning", "critical"]),
        (f"info={SLACK}", ["info", "warning", "critical"]),
        (f"warning={SLACK}", ["warning", "critical"]),
        (f"CRITICAL={SLACK}", ["critical"]),
    ],
)
def test_a_channel_hears_what_is_severe_enough(entry: str, hears: list[Severity]) -> None:
    (channel,) = channels(entry)
    severities: tuple[Severity, ...] = ("info", "warning", "critical")
    assert [severity for severity in severities if channel.hears(severity)] == hears
    assert channel.url.get_secret_value() == SLACK


def test_two_channels_of_one_host_have_two_names() -> None:
    assert [one.name for one in channels(f"{SLACK} critical={SLACK}X {SLACK}Y")] == [
        "slack://…",
        "slack://… (2)",
        "slack://… (3)",
    ]


@pytest.mark.parametrize("entry", ["geheim", f"crit={SLACK}", "://geheim"])
def test_what_is_no_channel_is_a_fault_that_hides_no_other(entry: str) -> None:
    bad, good = channels(f"{entry} {SLACK}")
    assert bad.name == "entry-1"
    assert "no URL of a channel" in bad.fault
    assert not good.fault


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (SLACK, "slack://…"),
        (MAIL, "mailto://mail.example.org"),
        ("tgram://123456789:ABCdefghij/-100", "tgram://…"),
        ("pbul://o.gn5kj6nfhv736I7jC3cj3QLRiyhgl98b", "pbul://…"),  # a token with a dot, as a host has
        ("https://hooks.slack.com/services/T1/B2/C3", "https://hooks.slack.com"),
        ("jsons://user:pw@[::1]:8080/x", "jsons://::1"),
        ("json://[broken/x", "json://…"),
    ],
)
def test_an_address_is_scheme_and_host_where_the_host_is_one(url: str, shown: str) -> None:
    assert address(url) == shown


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        (SLACK, ["T1JJ3T3L2", "A1BRTD4JD", "TIiajkdnlazkcOXrIdevi7FQ"]),
        (MAIL, ["robot", "s3cr%40t", "s3cr@t"]),
        ("https://hc-ping.com/0b7b-11", ["0b7b-11"]),
        ("json://h/p%20q?+X-Token=abc%2Fdef&-k=v77", ["p%20q", "p q", "abc%2Fdef", "abc/def", "v77"]),
    ],
)
def test_no_part_of_a_url_stays_in_what_a_library_says(url: str, secrets: list[str]) -> None:
    said = scrub(f"failed: {url} because of " + " and ".join(secrets), SecretStr(url))
    assert said.startswith("failed: ")
    assert not [secret for secret in secrets if secret in said]


def test_a_channel_and_the_settings_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHON_ALERT_URLS", f"{SLACK} {MAIL}")
    monkeypatch.setenv("ARCHON_HEARTBEAT_URL", "https://hc-ping.com/0b7b-11")
    settings = load_settings()
    shown = f"{settings!r} {settings} {channels_of(settings.alert_urls)!r}"
    assert not [part for part in ("T1JJ3T3L2", "TIiajkdn", "s3cr", "robot", "0b7b") if part in shown]
