"""`archon health`: is the platform well, right now; and maintenance windows. Dagster is not needed.

Exit code 0: healthy; 1: degraded (something works in part, or is not essential); 2: down.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from archon_dagster.cli.backups import Json
from archon_dagster.cli.output import console, plain, print_json, table
from archon_dagster.errors import ConfigurationError
from archon_dagster.health import monitor, silent_after, windows
from archon_dagster.health.background import COUNTED
from archon_dagster.health.history import History
from archon_dagster.health.monitor import Tick
from archon_dagster.health.state import MonitorState
from archon_dagster.health.state import load as last_state
from archon_dagster.health.summary import clock, explained, state_text
from archon_dagster.health.verdict import EXIT_CODES, platform_verdict
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.services import BY_NAME
from archon_dagster.platform.settings import Settings, load_settings

app = typer.Typer(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})

_COLOURS = {"healthy": "green", "degraded": "yellow", "unhealthy": "red", "maintenance": "cyan", "unknown": "dim"}
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


@app.callback()
def health(
    context: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", help="Keep looking until Ctrl-C.")] = False,
    as_json: Json = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also make the end-to-end test, which writes and deletes one document.")
    ] = False,
) -> None:
    """Ask every service now, and confirm what does not answer within seconds.

    Exit code 0: healthy; 1: degraded; 2: down.
    """
    if context.invoked_subcommand is not None:
        return
    settings = load_settings()
    if watch:
        _watch(settings, as_json)
        return
    found = _look(settings, deep=deep)
    if as_json:
        print_json(_document(found))
    else:
        console.print(drawn(found))
        _say_when_the_monitor_is_away(settings)
    raise typer.Exit(EXIT_CODES[platform_verdict(found.state)])


def _say_when_the_monitor_is_away(settings: Settings) -> None:
    at = last_state(settings.home).at
    if time.time() - at < silent_after(settings.health_interval):
        return
    seen = f"looked last at {clock(at)}" if at else "has never looked here"
    console.print(f"the monitor {seen}: is `archon up` running, and the sensor health_monitor on?", style="yellow")


def _look(settings: Settings, *, deep: bool, before: MonitorState | None = None) -> Tick:
    """What the monitor knows is where this begins, if that is not old; nothing of this is kept."""
    runtime = open_runtime(settings)
    if deep:
        return monitor.look_now(settings, runtime)
    known = before or last_state(settings.home)
    fresh = time.time() - known.at < silent_after(settings.health_interval)
    return monitor.tick(settings, runtime, before=known if fresh else MonitorState(), looks="reading")


def _watch(settings: Settings, as_json: bool) -> None:
    """Look at the interval of the monitor, at least every five seconds."""
    pause, found = threading.Event(), _look(settings, deep=False)
    if as_json:
        while True:
            print_json(_document(found))
            pause.wait(min(5.0, settings.health_interval))
            found = _look(settings, deep=False, before=found.state)
    with Live(drawn(found), console=console, auto_refresh=False) as live:
        while True:
            pause.wait(min(5.0, settings.health_interval))
            found = _look(settings, deep=False, before=found.state)
            live.update(drawn(found), refresh=True)


def _document(found: Tick) -> dict[str, Any]:
    """The same for programs."""
    verdict = platform_verdict(found.state)
    return {
        "platform": verdict,
        "exit_code": EXIT_CODES[verdict],
        "at": found.state.at,
        "services": {
            name: {
                "state": state.state,
                "since": state.since,
                "flapping": state.flapping,
                "causes": found.state.causes.get(name, ()),
                "response_seconds": found.samples[name].seconds,
                "answer": found.samples[name].text,
                "counted_seconds_ago": _age(found, name),
                "checks": [asdict(facet) for facet in found.samples[name].facets],
            }
            for name, state in found.state.services.items()
        },
        "left_out": dict(found.state.left_out),
    }


def drawn(found: Tick) -> Group:
    """What a look has found, for people."""
    rows = []
    for name, state in found.state.services.items():
        sample = found.samples[name]
        said = explained(sample.maintenance or sample.text, found.state.causes.get(name, ())) + _counted(found, name)
        colour = _COLOURS[state.state]
        took = "" if sample.seconds is None else f"{sample.seconds * 1000:.0f}"
        rows.append((name, f"[{colour}]{state_text(state)}[/]", took, plain(said)))
    verdict = platform_verdict(found.state)
    shown: list[Table | Text] = [table("", ("service", "state", "ms", "what it says"), rows, right=("ms",))]
    shown += [Text(f"not asked: {name}: {why}", style="dim") for name, why in found.state.left_out.items()]
    colour = {"healthy": "green", "degraded": "yellow", "down": "red"}[verdict]
    shown.append(Text.from_markup(f"platform: [{colour}]{verdict}[/], asked in {found.seconds:.1f} s"))
    return Group(*shown)


def _counted(found: Tick, name: str) -> str:
    """How old the counts of a store are, where they were compared with a backup: a loss shows with the next ones."""
    age, consistent = _age(found, name), found.samples[name].facet("consistent")
    if age is None or consistent is None or consistent.passed is None or found.samples[name].maintenance:
        return ""
    return f"; counts of {age:.0f} s ago"


def _age(found: Tick, name: str) -> float | None:
    """Seconds since a store was counted; ``None`` for those that are counted in every round, or never were."""
    counted = BY_NAME[name].store in COUNTED and found.state.known.live_at > 0
    return max(0.0, found.state.at - found.state.known.live_at) if counted else None


@app.command()
def maintenance(
    how_long: Annotated[str, typer.Option("--for", help="How long, e.g. 45m, 2h, 1d.")] = "",
    why: Annotated[str, typer.Option(help="The reason, for whoever wonders.")] = "",
    service: Annotated[list[str] | None, typer.Option(help="Just this service; may be given again.")] = None,
    end: Annotated[bool, typer.Option("--end", help="End every window that was opened by hand.")] = False,
) -> None:
    """Open a maintenance window now, which ends by itself; without options: list what is open."""
    settings, now = load_settings(), time.time()
    if end:
        for closed in windows.close_windows(settings.home, now):
            console.print(f"ended: {escape(closed.why)}", highlight=False)
        return
    if how_long:
        chosen = tuple(service or ())
        unknown = [name for name in chosen if name not in BY_NAME]
        if unknown:
            raise ConfigurationError(f"no such service: {', '.join(unknown)}", todo=f"one of {', '.join(BY_NAME)}")
        windows.open_window(settings.home, seconds_of(how_long), why, now, chosen)
    reasons = windows.reasons(BY_NAME, settings, now)
    for reason in dict.fromkeys(reasons.values()):
        covered = [name for name, other in reasons.items() if other == reason]
        whom = "every service" if len(covered) == len(BY_NAME) else ", ".join(covered)
        console.print(f"{whom}: {plain(reason)}", highlight=False, soft_wrap=True)
    if not reasons:
        console.print("no maintenance window is open")


@app.command()
def history(
    service: Annotated[str, typer.Argument(help="A service of the catalogue, e.g. qdrant.")],
    lines: Annotated[int, typer.Option(min=1, max=10_000, help="How many samples, newest last.")] = 30,
    as_json: Json = False,
) -> None:
    """The last samples of a service, as the monitor kept them."""
    if service not in BY_NAME:
        raise ConfigurationError(f"no such service: {service}", todo=f"one of {', '.join(BY_NAME)}")
    points = History(load_settings().home).of(service, limit=lines)
    if as_json:
        print_json([asdict(point) for point in points])
        return
    rows = [
        (clock(p.at), f"[{_COLOURS[p.verdict]}]{p.verdict}[/]", "" if p.seconds is None else f"{p.seconds * 1000:.0f}",
         plain(p.detail))
        for p in points
    ]  # fmt: skip
    console.print(table(service, ("time", "sample", "ms", "what it said"), rows, right=("ms",), keep=("time",)))


def seconds_of(text: str) -> float:
    """``45m``, ``2h``, ``1h30m`` in seconds."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text.replace(" ", ""):
        raise ConfigurationError(f"{text!r} is not a duration", todo="write it as 45m, 2h, 1h30m or 1d")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
