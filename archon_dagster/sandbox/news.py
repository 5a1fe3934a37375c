"""What a sandbox tells while it starts; also read by whoever shows it."""

from __future__ import annotations

from collections.abc import Callable

OnEvent = Callable[[str], None]
"""Receives news of a start, one line each, from the threads that do the work."""

STARTING = "is starting on port"
"""Stands in the line of a service that is not ready yet; each is followed by one that says it is."""
