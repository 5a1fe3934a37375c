"""How a notice reads at 3 a.m.: the title says whether to get up, the first lines say what is wrong and what to type.

The same lines as plain text and as Markdown; a channel gets the one it can show.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from archon_dagster.alerts.alert import Notice

_LONGEST_TITLE = 160  # characters; telephones show less, no mail program more
_LONGEST_TEXT = 1500  # characters of one answer; the run's page has the rest
_MARKDOWN = re.compile(r"([\\`*_\[\]<>#|~])")


@dataclass(frozen=True, slots=True)
class Sender:
    """Who tells it: which platform, from which machine, with times of which zone."""

    environment: str = "production"
    host: str = ""
    zone: tzinfo = UTC


def title(notice: Notice, sender: Sender) -> str:
    """One line: which platform, how bad, what."""
    severity, lasted = notice.alert.severity.upper(), elapsed((notice.at - notice.alert.since).total_seconds())
    word = {
        "note": severity,
        "opened": severity,
        "worse": f"NOW {severity}",
        "handed": f"{severity}, A PERSON IS NEEDED",
        "reminder": f"STILL {severity} after {lasted}",
        "resolved": f"RESOLVED after {lasted}",
    }[notice.kind]
    return _cut(_line(f"[{sender.environment}] {word}: {notice.alert.title}"), _LONGEST_TITLE)


def text(notice: Notice, sender: Sender) -> str:
    """The body as plain text."""
    lines = []
    for word, answers in _answers(notice, sender):
        lines += [f"{word}: {answers[0]}"] if len(answers) == 1 else [f"{word}:", *(f"- {one}" for one in answers)]
    return "\n".join(lines)


def markdown(notice: Notice, sender: Sender) -> str:
    """The body as Markdown, every answer a paragraph of its own; what came from outside cannot format anything."""
    blocks = []
    for word, answers in _answers(notice, sender):
        said = [one if word == "Look" else _escaped(one) for one in answers]  # an address stays one that can be clicked
        blocks.append(f"**{word}:** {said[0]}" if len(said) == 1 else "\n".join([f"**{word}:**\n", *_items(said)]))
    return "\n\n".join(blocks)


def _items(answers: list[str]) -> list[str]:
    return [f"- {one}" for one in answers]


def _answers(notice: Notice, sender: Sender) -> list[tuple[str, list[str]]]:
    """The questions of whoever reads it, in the order they are asked, each with its answers; none without."""
    alert = notice.alert
    over, told_once = notice.kind == "resolved", notice.kind == "note"
    lasted = elapsed((notice.at - alert.since).total_seconds())
    begun = when(alert.since, sender.zone)
    questions: list[tuple[str, list[str]]] = [
        ("Over", [notice.outcome or "it is well again"] if over else []),
        ("What was wrong" if over else "What", [alert.what]),
        ("When" if told_once else "Since", [f"{begun}, for {lasted}" if over else begun]),
        ("Tried", list(alert.tried)),
        ("Do next", [] if over else list(alert.todo)),
        ("Look", [alert.link] if alert.link else []),
        ("Incident", [alert.incident]),
        ("From", [f"archon on {sender.host}, {sender.environment}"]),
    ]
    return [(word, [_cut(_line(one), _LONGEST_TEXT) for one in answers]) for word, answers in questions if answers]


def when(moment: datetime, zone: tzinfo) -> str:
    """A moment with its day and zone: who is woken does not know either."""
    return f"{moment.astimezone(zone):%a %Y-%m-%d %H:%M:%S %Z}"


def elapsed(seconds: float) -> str:
    """How long, in the two largest units: ``40 s``, ``12 min``, ``3 h 5 min``, ``2 d 4 h``."""
    minutes = int(max(0.0, seconds)) // 60
    if minutes < 1:
        return f"{int(max(0.0, seconds))} s"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def _line(said: str) -> str:
    """One line without control characters: a title with a line break would be a header of a mail."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in said).split())


def _cut(said: str, longest: int) -> str:
    return said if len(said) <= longest else f"{said[: longest - 1].rstrip()}…"


def _escaped(said: str) -> str:
    return _MARKDOWN.sub(r"\\\1", said)
