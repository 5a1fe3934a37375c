"""`archon alerts`: who is told, what was told, and whether it arrived."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from archon_dagster.alerts.alert import Alert, Notice, Severity
from archon_dagster.alerts.alerting import NOT_CONFIGURED, Alerting, sender_of, troubles
from archon_dagster.alerts.book import Cleared, Entry
from archon_dagster.alerts.delivery import Outcome, deliver
from archon_dagster.alerts.record import Record, RecordFile
from archon_dagster.alerts.rendering import elapsed, when
from archon_dagster.cli.backups import Json
from archon_dagster.cli.output import console, hanging, one_line, plain, print_json, table
from archon_dagster.errors import ArchonError, ConfigurationError, ServiceError
from archon_dagster.platform.settings import Settings, load_settings

app = typer.Typer(no_args_is_help=True)

_SHOWN = 20  # undelivered notices; the file keeps more


@app.command("test")
def test(as_json: Json = False) -> None:
    """Send a test notice to every channel now and say which have taken it.

    Exit code 2 when there is no channel, 6 when one did not take it.
    """
    settings = load_settings()
    channels = Alerting(settings).channels
    if not channels:
        raise ConfigurationError(NOT_CONFIGURED, todo="put a channel's URL there, then try again")
    notice, sender = _test_notice(), sender_of(settings)
    with ThreadPoolExecutor(len(channels)) as pool:
        outcomes = list(pool.map(lambda channel: deliver(channel, notice, sender), channels))
    told = [(channel.name, channel.least, outcome) for channel, outcome in zip(channels, outcomes, strict=True)]
    if as_json:
        print_json([{"channel": name, "hears": least, **asdict(outcome)} for name, least, outcome in told])
    else:
        rows = [(plain(name), _hears(least), _arrived(outcome)) for name, least, outcome in told]
        console.print(table("a test notice", ("channel", "hears", "result"), rows, keep=("channel",)))
    if any(not outcome.ok for outcome in outcomes):
        raise ServiceError(
            "not every channel has taken the test notice",
            tried=", ".join(name for name, _, outcome in told if not outcome.ok),
            todo="correct its URL in ARCHON_ALERT_URLS, or see what its server says",
        )


def _hears(least: Severity) -> str:
    return {"info": "everything", "warning": "warning and critical", "critical": "critical only"}[least]


def _arrived(outcome: Outcome) -> str:
    return "[green]taken[/]" if outcome.ok else f"[red]not taken:[/] {plain(outcome.why)}"


def _test_notice() -> Notice:
    now = datetime.now(UTC)
    alert = Alert(
        incident=f"test@{now:%Y%m%dT%H%M%S}",
        severity="info",
        title="this is a test, nothing is wrong",
        what=f"somebody ran `archon alerts test` on {socket.gethostname()}",
        since=now,
        todo=("nothing; if you did not expect this, ask who is setting up alerts",),
    )
    return Notice("note", alert, now)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """What is wrong now, whom that was told, and what could not be delivered.

    Exit code 6 when something could not be delivered or the heartbeat is not answered.
    """
    settings, now = load_settings(), datetime.now(UTC)
    record, channels = RecordFile(settings.home).read(), Alerting(settings).channels
    wrong = troubles(record, channels, now)
    if as_json:
        print_json(_as_data(settings, record, wrong))
    else:
        _show(settings, record, wrong, now)
    if wrong:
        raise typer.Exit(6)


@app.command("close")
def close(
    incident: Annotated[str, typer.Argument(help="Its id, as `archon alerts list` shows it.")],
    why: Annotated[str, typer.Option("--why", help="Told with the resolved notice.")] = "closed by hand",
) -> None:
    """Say that an incident is over where nothing will notice by itself, such as a failed job nobody runs again."""
    alerting = Alerting(load_settings())
    entry = alerting.file.read().book.get(incident)
    if entry is None or not entry.lasts:
        raise ArchonError(f"no incident {incident} is open", todo="archon alerts list shows those that are")
    alerting.tell(Cleared(incident, why))
    console.print(f"closed {plain(incident)}; {alerting.flush()}", highlight=False)


def _as_data(settings: Settings, record: Record, wrong: list[str]) -> dict[str, Any]:
    channels = Alerting(settings).channels
    return {
        "channels": [{"name": one.name, "hears": one.least, "fault": one.fault} for one in channels],
        "open": [asdict(entry) for entry in record.book.values() if entry.lasts],
        "waiting": [asdict(one) for one in record.outbox],
        "undelivered": [asdict(one) for one in record.undelivered],
        "heartbeat": {"configured": settings.heartbeat_url is not None, **(asdict(record.beat) if record.beat else {})},
        "troubles": wrong,
    }


def _show(settings: Settings, record: Record, wrong: list[str], now: datetime) -> None:
    zone = ZoneInfo(settings.timezone)
    entries = [(incident, entry) for incident, entry in record.book.items() if entry.lasts]
    console.print(f"[bold]{len(entries)} open[/]", highlight=False)
    for incident, entry in entries:
        console.print(hanging(_lines(incident, entry, zone, now)))
    channels = Alerting(settings).channels
    rows = [(plain(channel.name), _hears(channel.least)) for channel in channels]
    console.print(table("channels", ("channel", "hears"), rows) if rows else plain(NOT_CONFIGURED))
    console.print(_heartbeat(settings, record, zone), highlight=False)
    lines = [("[red]trouble[/]", plain(one_line(line))) for line in wrong[:_SHOWN]]
    lines += [("", f"and {len(wrong) - _SHOWN} more: archon alerts list --json")] if len(wrong) > _SHOWN else []
    console.print(hanging(lines))


def _lines(incident: str, entry: Entry, zone: ZoneInfo, now: datetime) -> list[tuple[str, str]]:
    alert = entry.alert
    colour = "red" if alert.severity == "critical" else "yellow"
    told = f"told {elapsed((now - entry.told).total_seconds())} ago" if entry.told else "nobody was told yet"
    since = f"since {when(alert.since, zone)} ({elapsed((now - alert.since).total_seconds())}); {told}"
    return [
        (f"[{colour}]{alert.severity}[/]", f"[bold]{plain(alert.title)}[/]"),
        ("", plain(one_line(alert.what))),
        ("", since),
        *(("", f"next: {plain(one)}") for one in alert.todo[:1]),
        ("", f"[dim]{plain(incident)}[/]"),
    ]


def _heartbeat(settings: Settings, record: Record, zone: ZoneInfo) -> str:
    if settings.heartbeat_url is None:
        return "heartbeat: none, set ARCHON_HEARTBEAT_URL"
    answered = record.beat.answered if record.beat else None
    return f"heartbeat: last answered {when(answered, zone)}" if answered else "heartbeat: never answered yet"
