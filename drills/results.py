"""What came of a drill: a row for each failure, a table, and the last line, which is for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.table import Table

from archon_dagster.backup.summary import duration_text
from archon_dagster.cli.output import plain, table

SINGLE_SERVICE = 30.0  # seconds from the confirmation: what is aimed at here; the runbook's objective is five minutes


@dataclass
class Row:
    """One failure and what was seen of it. Times are seconds; ``None``: it did not come to that.

    :param detect: from the failure to its confirmation. :param recover: from there until all is well.
    :param objective: what ``recover`` is measured against.
    :param differences: what is not as it was before; ``None``: it could not be compared.
    :param problems: everything else that is not as it has to be.
    """

    title: str
    kind: str = ""
    detect: float | None = None
    recover: float | None = None
    objective: float | None = None
    steps: tuple[str, ...] = ()
    alerts: int = 0
    resolved: int = 0
    differences: list[str] | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def recovered(self) -> bool:
        """It was detected, taken for what it is, told once, and is over."""
        return self.recover is not None and not self.problems

    @property
    def identical(self) -> bool:
        return self.differences == []

    @property
    def within_objective(self) -> bool:
        return self.recover is not None and self.objective is not None and self.recover <= self.objective

    @property
    def good(self) -> bool:
        return self.recovered and self.identical and self.within_objective


def drawn(rows: Sequence[Row]) -> Table:
    """The rows as a table."""
    columns = ("failure", "taken for", "detected", "recovered", "objective", "by", "alerts", "data")
    cells = [
        (
            plain(row.title),
            row.kind or _red("not detected", True),
            _seconds(row.detect),
            _red(_seconds(row.recover), row.recover is not None and not row.within_objective),
            duration_text(row.objective) if row.objective else "·",
            ", ".join(row.steps),
            f"{row.alerts}+{row.resolved}",
            _red("identical" if row.identical else "different", not row.identical),
        )
        for row in rows
    ]
    return table("", columns, cells, right=("detected", "recovered", "objective"), keep=("failure", "taken for"))


def troubles(rows: Sequence[Row]) -> list[str]:
    """What is not as it has to be, a line each."""
    found = []
    for row in rows:
        found += [f"{row.title}: {problem}" for problem in row.problems]
        found += [f"{row.title}: not identical: {one}" for one in row.differences or ()]
        if row.differences is None:
            found.append(f"{row.title}: the data were not compared")
        if row.recover is not None and not row.within_objective:
            found.append(f"{row.title}: {_seconds(row.recover)}, the objective is {_seconds(row.objective)}")
    return found


def last_line(rows: Sequence[Row], count: int) -> str:
    """The verdict. :param count: how many failures there were to be; one that was not come to is not recovered."""
    identical = "identical" if rows and all(row.identical for row in rows) else "different"
    return (
        f"DRILL recovered={sum(row.recovered for row in rows)}/{count} data={identical} "
        f"within_objective={sum(row.within_objective for row in rows)}/{count}"
    )


def _seconds(seconds: float | None) -> str:
    return "·" if seconds is None else f"{seconds:.1f} s"


def _red(text: str, bad: bool) -> str:
    return f"[red]{text}[/]" if bad else text
