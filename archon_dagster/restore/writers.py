"""Nobody writes to a store while it is restored."""

from __future__ import annotations

from archon_dagster.platform.quiesce import running_writers
from archon_dagster.restore.steps import Steps


def stop_writers(steps: Steps) -> None:
    """Stop the services that write; which they are, and which an interrupted restore has stopped, is noted before."""
    runtime = steps.context.runtime
    stopped = tuple(dict.fromkeys((*steps.journal.stopped, *running_writers(runtime))))
    steps.journal = steps.file.update(steps.journal, stopped=stopped)
    if stopped:
        runtime.stop(*stopped)
