"""News of an operation on the terminal, while it works."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from archon_dagster.backup.summary import duration_text, size_text
from archon_dagster.context import DONE, FAILED, Step
from archon_dagster.sandbox.news import STARTING
from archon_dagster.stores import base

_PLAIN: dict[str, Any] = {"highlight": False, "soft_wrap": True}


class News:
    """Shows steps and progress as they come; safe to be called from the threads of an operation."""

    def __init__(self, console: Console, *, quiet: bool = False):
        self.console, self.quiet = console, quiet
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("[dim]{task.fields[amount]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self.tasks: dict[tuple[str, str], TaskID] = {}
        self.lock = threading.Lock()

    def __enter__(self) -> News:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def __call__(self, news: Step | base.Progress) -> None:
        with self.lock:
            if isinstance(news, Step):
                self._step(news)
            else:
                self._progress(news)

    def _step(self, step: Step) -> None:
        if step.seconds is None:
            return
        for task in self.tasks.values():
            self.progress.remove_task(task)
        self.tasks.clear()
        if not self.quiet:
            name = f"{step.name}: {step.detail}" if step.detail else step.name
            self.progress.console.print(_ended(name, duration_text(step.seconds), step.failed), **_PLAIN)

    def _progress(self, news: base.Progress) -> None:
        key = (news.store, news.step)
        if key not in self.tasks:
            self.tasks[key] = self.progress.add_task(f"{news.store}: {news.step}", total=news.total, amount="")
        amount = size_text(news.done) if news.unit == "bytes" else f"{news.done:,} {news.unit}"
        self.progress.update(self.tasks[key], completed=news.done, total=news.total, amount=amount)


class _Spinning:
    """What is at work is a spinner, where there is a terminal; what has ended is a line."""

    def __init__(self, console: Console, *, quiet: bool = False):
        self.console, self.quiet = console, quiet
        self.status = console.status("")

    def __enter__(self) -> Self:
        if self.console.is_terminal and not self.quiet:
            self.status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.status.stop()

    def at_work(self, text: str) -> None:
        if not self.quiet:
            self.status.update(f"[dim]{escape(text)}[/]")

    def ended(self, text: str) -> None:
        if not self.quiet:
            self.console.print(f"  [dim]{escape(text)}[/]", **_PLAIN)


class StartLines(_Spinning):
    """News of a sandbox that starts: one line for each service, when it is ready."""

    def __call__(self, text: str) -> None:
        if STARTING in text:
            self.at_work(text)
        else:
            self.ended(text)


class Totals(_Spinning):
    """News of data that are written: one line for each kind, when the next one begins."""

    _what, _count = "", 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tell()
        super().__exit__(kind, error, trace)

    def __call__(self, what: str, count: int) -> None:
        if what != self._what:
            self._tell()
        self._what, self._count = what, count
        self.at_work(f"{what}: {count:,} written")

    def _tell(self) -> None:
        if self._what:
            self.ended(f"{self._what}: {self._count:,} written")


class RunLines(_Spinning):
    """Shows a run's steps: the one at work as a spinner where there is a terminal, the finished ones as lines."""

    def __call__(self, line: str) -> None:
        if self.quiet:
            return
        if line.endswith("…"):
            self.at_work(line)
            return
        step, failed, why = line.partition(FAILED)
        if failed:
            text = _ended(step, "", why)
        else:
            step, finished, took = line.rpartition(DONE)
            text = _ended(step, took, "") if finished else f"  [dim]{escape(line)}[/]"
        self.console.print(text, **_PLAIN)


def _ended(step: str, took: str, failed: str) -> str:
    """One line for a step that has ended: what it was, how long it took, and why it failed if it did."""
    mark = "[red]✗[/]" if failed else "[green]✓[/]"
    return (
        f"  {mark} {escape(step)}{f' [dim]{took}[/]' if took else ''}{f' [red]{escape(failed)}[/]' if failed else ''}"
    )
