"""The figures as a page, as JSON and as a plot; nothing here measures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.measure import Row

_WIDTH, _BAR, _GAP, _LEFT = 720, 16, 26, 170
_COLOURS = {"archon_dagster": "#2563eb"}
_OTHER = "#94a3b8"


def write(folder: Path, rows: Sequence[Row], facts: dict[str, Any], machine: dict[str, str]) -> None:
    """``benchmarks.json``, ``benchmarks.svg`` and the tables of ``benchmarks.md`` between its two marks."""
    figures = {
        "machine": machine,
        "rows": [
            {"title": row.title, "bytes": row.bytes, "seconds": {k: list(v) for k, v in row.seconds.items()},
             "medians": {k: row.median(k) for k in row.seconds}, "ratios": {k: row.ratio(k) for k in row.seconds},
             "targets": dict(row.targets)}
            for row in rows
        ],
        "facts": facts,
    }  # fmt: skip
    (folder / "benchmarks.json").write_text(json.dumps(figures, indent=2) + "\n")
    (folder / "benchmarks.svg").write_text(plot(rows))
    page = folder / "benchmarks.md"
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{tables(rows, facts, machine)}\n{END}{after}")


BEGIN, END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"


def tables(rows: Sequence[Row], facts: dict[str, Any], machine: dict[str, str]) -> str:
    """Everything a reader compares, in Markdown."""
    lines = [", ".join(f"{name} {value}" for name, value in machine.items()) + ".", ""]
    lines += [
        "| operation | tool | median s | MB/s | times as long as ours | wanted |",
        "| --- | --- | --: | --: | --: | --: |",
    ]
    for row in rows:
        for number, name in enumerate(row.seconds):
            wanted = f"{row.targets[name]:g}" if name in row.targets else ""
            mark = " ✓" if wanted and row.ratio(name) >= row.targets[name] else (" ✗" if wanted else "")
            lines.append(
                f"| {row.title if number == 0 else ''} | {name} | {row.median(name):.2f} | "
                f"{row.bytes / 1e6 / row.median(name):,.0f} | {row.ratio(name):.1f}{mark} | {wanted} |"
            )
    lines += ["", "| figure | value |", "| --- | --- |"]
    lines += [f"| {name} | {value} |" for name, value in _flat("", facts)]
    return "\n".join(lines) + "\n"


def _flat(prefix: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [line for name, inner in value.items() for line in _flat(f"{prefix}, {name}" if prefix else name, inner)]
    text = f"{value:,}" if isinstance(value, int) else f"{value:,.2f}" if isinstance(value, float) else str(value)
    return [(prefix.replace("_", " "), text)]


def plot(rows: Sequence[Row]) -> str:
    """Horizontal bars of the medians, one group for each operation, each group on its own scale."""
    drawn: list[str] = []
    y = 10
    for row in rows:
        longest = max(row.median(name) for name in row.seconds)
        drawn.append(f'<text x="8" y="{y + 12}" font-weight="bold">{escape(row.title)}</text>')
        y += _GAP - 4
        for name in row.seconds:
            width = max(1.0, (_WIDTH - _LEFT - 90) * row.median(name) / longest)
            drawn.append(f'<text x="{_LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>')
            drawn.append(f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="2" '
                         f'fill="{_COLOURS.get(name, _OTHER)}"/>')  # fmt: skip
            drawn.append(f'<text x="{_LEFT + width + 6:.1f}" y="{y + 12}">{row.median(name):.2f} s</text>')
            y += _BAR + 4
        y += 12
    body = "\n".join(drawn)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" font-family="sans-serif" '
            f'font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n')  # fmt: skip
