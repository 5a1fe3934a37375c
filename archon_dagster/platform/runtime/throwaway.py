"""Servers that are made for one purpose and removed afterwards, beside a platform and without touching it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.settings import Settings


@dataclass(frozen=True)
class Started:
    """Throw-away servers at work: a small platform of its own.

    :param settings: lead to these servers, and to nothing else. :param at: their addresses, by service.
    """

    settings: Settings
    runtime: Runtime
    at: dict[str, str]


class ThrowAway(Protocol):
    """One set of such servers."""

    def services(self) -> tuple[str, ...]:
        """Those of a platform's services that can be made a second time here."""
        ...

    def disk(self) -> Path | None:
        """A directory on the disk their data go to; ``None`` where that cannot be seen from here."""
        ...

    def start(self, services: Sequence[str], check: Callable[[], None]) -> Started:
        """Make and start them, empty, and wait until they are ready. Whatever comes of it, :meth:`remove` follows.

        :param check: raises when nobody wants them any more.
        """
        ...

    def remove(self) -> None:
        """Stop and remove them with all they hold; fine where nothing was started."""
        ...
