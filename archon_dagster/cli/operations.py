"""Run an operation in this process, without Dagster: news on the terminal, Ctrl-C cleans up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from archon_dagster.cancelling import run_cancellable
from archon_dagster.cli.output import problems
from archon_dagster.cli.progress import News
from archon_dagster.context import OperationContext, open_context
from archon_dagster.platform.settings import Settings

T = TypeVar("T")


def run_here(
    settings: Settings,
    operation: Callable[[OperationContext], T],
    *,
    quiet: bool = False,
    cleanup_limit: float = 60.0,
    live: bool = True,
) -> T:
    """Run an operation directly; progress goes to standard error so that standard output stays clean."""
    cancel = threading.Event()
    with News(problems, quiet=quiet) as news:
        return run_cancellable(
            lambda: operation(open_context(settings, cancel=cancel, report=news, live=live)),
            cancel,
            cleanup_limit=cleanup_limit,
        )
