"""`archon sandbox seed --scale N`: generated data of a chosen size, and what became of them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from archon_dagster.backup.summary import duration_text, size_text
from archon_dagster.cli.output import console, print_json, problems, table
from archon_dagster.cli.progress import News
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.settings import Settings
from archon_dagster.stores.base import Work

if TYPE_CHECKING:
    from archon_dagster.sandbox.seed.scale import ScaleReport

_NAME = 60  # characters of a name in the table


def generate(settings: Settings, scale: int, dimension: int | None, *, as_json: bool) -> None:
    """Generate, show the progress, and report."""
    from archon_dagster.sandbox.seed.scale import DIMENSION, seed_scale

    length = DIMENSION if dimension is None else dimension
    with tempfile.TemporaryDirectory(prefix="archon-seed-") as scratch, News(problems, quiet=as_json) as news:
        work = Work(Path(scratch), report=news, deadline=settings.store_deadline, silence=settings.store_silence)
        report = seed_scale(settings, open_runtime(settings), scale, work, dimension=length)
    if as_json:
        print_json(report)
    else:
        _show(report)


def _show(report: ScaleReport) -> None:
    parts = {
        "points in": report.points,
        "nodes": report.nodes,
        "relationships": report.relationships,
        "rows in": report.rows,
    }
    rows = [
        (f"{what} {_short(name)}", f"{count:,}")
        for what, counts in parts.items()
        for name, count in counts.items()
    ]  # fmt: skip
    title = f"scale {report.scale:,}, vectors of {report.dimension} numbers"
    console.print(table(title, ("what", "count"), rows, right=("count",)))
    for what, store in (("points", "vectors"), ("nodes", "graph"), ("relationships", "graph"), ("rows", "relational")):
        console.print(_rate(what, report.written[what], store, report.seconds), highlight=False)
    console.print(f"at most {size_text(report.peak_bytes)} of memory", highlight=False)
    for store, reasons in report.refused.items():
        for what, reason in reasons.items():
            problems.print(f"{store}: left out: {escape(what)}: [dim]{escape(reason)}[/]", highlight=False)


def _rate(what: str, count: int, store: str, seconds: Mapping[str, float]) -> str:
    if not count:
        return f"{what}: all there already, nothing written"
    taken = seconds[store]
    return f"{what}: {count:,} written in {duration_text(taken)} ({store}), {count / max(taken, 0.001):,.0f} a second"


def _short(name: str) -> str:
    return escape(name if len(name) <= _NAME else f"{name[:_NAME]}…")
