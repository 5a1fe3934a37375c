"""What a person sees of a service: a few numbers and a table."""

from __future__ import annotations

from datetime import UTC, datetime

from archon_dagster.health.evaluation import ServiceState
from archon_dagster.health.history import History, Summary
from archon_dagster.health.monitor import Tick
from archon_dagster.health.samples import Sample
from archon_dagster.platform.services import BY_NAME

MINUTE = 60.0
SPANS: tuple[tuple[str, float], ...] = (("10 minutes", 10 * MINUTE), ("hour", 60 * MINUTE), ("day", 24 * 60 * MINUTE))


def response_table(history: History, service: str, now: float) -> str:
    """Markdown: how fast the service was, and how often it was not well."""
    lines = ["| last | samples | not well | median (ms) | 95 % below (ms) |", "|---|---:|---:|---:|---:|"]
    for name, span in SPANS:
        found = history.summary(service, now - span)
        lines.append(f"| {name} | {found.samples} | {found.unhealthy} | {_ms(found.p50)} | {_ms(found.p95)} |")
    return "\n".join(lines)


def last_hour(history: History, service: str, now: float) -> Summary:
    """The same of the last hour, as numbers."""
    return history.summary(service, now - 60 * MINUTE)


def overview_table(found: Tick) -> str:
    """Markdown: every service at a glance."""
    lines = ["| service | state | since | answer (ms) | what it says |", "|---|---|---|---:|---|"]
    for name, state in found.state.services.items():
        sample = found.samples[name]
        said = _cell(explained(sample.text, found.state.causes.get(name, ())))
        lines.append(
            f"| {BY_NAME[name].title} | {state_text(state)} | {clock(state.since)} | {_ms(sample.seconds)} | {said} |"
        )
    lines += [f"| {BY_NAME[name].title} | not asked | | | {_cell(why)} |" for name, why in found.state.left_out.items()]
    return "\n".join(lines)


def state_text(state: ServiceState) -> str:
    """The state in words: doubts and flapping are said."""
    words: list[str] = [state.state]
    if state.flapping:
        words.append("flapping")
    if state.in_doubt and state.pending:
        words.append(f"{state.pending} in {state.streak} samples, not confirmed")
    return ", ".join(words)


def explained(text: str, causes: tuple[str, ...]) -> str:
    """What is wrong, with who is to blame."""
    return f"{text} (because of {', '.join(causes)})" if causes else text


def clock(instant: float) -> str:
    """An instant for people; empty where there is none."""
    return f"{datetime.fromtimestamp(instant, UTC):%Y-%m-%d %H:%M:%S} UTC" if instant else ""


def milliseconds(sample: Sample) -> float | None:
    """The time to the answer, for a plot."""
    return None if sample.seconds is None else round(sample.seconds * 1000, 1)


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.0f}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
