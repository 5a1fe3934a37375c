"""The medians as a plot: horizontal bars, one group for each operation, each group on its own scale."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from benchmarks.measure import Row

_WIDTH, _BAR, _GAP, _LEFT = 720, 16, 26, 170
_COLOURS = {"archon_dagster": "#2563eb"}
_OTHER = "#94a3b8"


def plot(rows: Sequence[Row]) -> str:
    """An SVG."""
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
