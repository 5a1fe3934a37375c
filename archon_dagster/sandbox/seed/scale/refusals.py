"""What a server would not hold, found by trying, each told once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from archon_dagster.errors import StoreError


@dataclass
class Refusals:
    """Peculiarities a server has refused, with its own words."""

    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, what: str, reason: object) -> None:
        self.reasons[what] = " ".join(str(reason).split())[:200]

    def attempt(self, what: str, action: Callable[[], object], refusal: type[StoreError]) -> bool:
        """Whether the server takes it; only its own *no* is kept, every other error is raised."""
        try:
            action()
        except refusal as error:
            self.add(what, getattr(error, "said", "") or error.what)
            return False
        return True
