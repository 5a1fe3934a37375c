"""The figures as a page, as JSON and as a plot; nothing here measures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.bounds import bounds
from benchmarks.plot import plot
from benchmarks.results import Part, Parts
from benchmarks.targets import Target, targets

BEGIN, END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"


def write(folder: Path, found: Parts) -> None:
    """Put the parts that were measured in the place of their last figures, and make the page and the plot again."""
    results.save(folder, results.load(folder) | dict(found))
    parts = results.load(folder)
    (folder / "benchmarks.svg").write_text(plot([row for part in parts.values() for row in part.rows]))
    page = folder / "benchmarks.md"
    before, _, rest = page.read_text().partition(BEGIN) if page.exists() else ("", "", END)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{text(parts)}\n{END}{after}")


def text(parts: Parts) -> str:
    """Everything a reader compares, in Markdown."""
    blocks = [_targets(parts), _missed(parts), _operations(parts), _figures(parts), _where(parts)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _targets(parts: Parts) -> str:
    if not (found := targets(parts)):
        return ""
    reached = sum(target.reached for target in found)
    lines = [
        f"## {reached} of {len(found)} targets are reached",
        "| operation | what | found | wanted | |",
        "| --- | --- | --: | --: | --- |",
    ]
    return "\n".join(lines + list(_target_rows(found)))


def _target_rows(found: list[Target]) -> Iterator[str]:
    last = ""
    for target in found:
        sign, unit = "≤" if target.at_most else "≥", f" {target.unit}" if target.unit else ""
        wanted = f"{sign} {_figure(target.wanted)}{unit}"
        topic = target.topic if target.topic != last else ""
        mark = "✓" if target.reached else "✗"
        yield f"| {topic} | {target.what} | {_figure(target.found)}{unit} | {wanted} | {mark} |"
        last = target.topic


def _missed(parts: Parts) -> str:
    missed = dict.fromkeys(target.topic for target in targets(parts) if not target.reached)
    if not missed:
        return ""
    known = bounds(parts)
    lines = [f"- *{topic}*: {known.get(topic, 'not profiled yet.')}" for topic in missed]
    return "\n".join(["### What bounds the others", *lines])


def _operations(parts: Parts) -> str:
    lines = [
        "## Operations",
        "| operation | tool | median s | MB/s | times as long as ours |",
        "| --- | --- | --: | --: | --: |",
    ]
    rows = [row for part in parts.values() for row in part.rows]
    for row in rows:
        for number, name in enumerate(row.seconds):
            lines.append(
                f"| {row.title if number == 0 else ''} | {name} | {row.median(name):.2f} | "
                f"{row.bytes / 1e6 / row.median(name):,.0f} | {row.ratio(name):.1f} |"
            )
    return "\n".join(lines) if rows else ""


def _figures(parts: Parts) -> str:
    flat = [line for name, part in parts.items() for line in _flat(name, part.facts)]
    lines = [f"| {name.replace('_', ' ')} | {value} |" for name, value in flat]
    return "\n".join(["## Other figures", "| figure | value |", "| --- | --: |", *lines])


def _flat(prefix: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [line for name, inner in value.items() for line in _flat(f"{prefix}, {name}", inner)]
    return [(prefix, _figure(value) if isinstance(value, int | float) else str(value))]


def _figure(value: float) -> str:
    return f"{value:,.2f}" if isinstance(value, float) and not value.is_integer() else f"{value:,.0f}"


def _where(parts: Parts) -> str:
    """The parts by the machine and day they were measured on."""
    by_machine: dict[str, list[str]] = {}
    for name, part in parts.items():
        by_machine.setdefault(_described(part), []).append(name)
    lines = [f"- {', '.join(names)}: {machine}." for machine, names in by_machine.items()]
    return "\n".join(["## Measured on", *lines])


def _described(part: Part) -> str:
    return ", ".join(f"{name} {value}" for name, value in part.machine.items())
