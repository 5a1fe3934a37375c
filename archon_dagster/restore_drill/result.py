"""What came of a restore drill."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from archon_dagster.backup.summary import duration_text
from archon_dagster.platform.objectives import restore_objective
from archon_dagster.stores.base import StoreName

State = Literal["identical", "not comparable", "different", "not restored", "not tried"]
GOOD: tuple[State, ...] = ("identical", "not comparable")


class StoreDrill(BaseModel):
    """One store of it. Sizes in bytes, times in seconds.

    :param server: what it was restored into, as the server says of itself.
    :param detail: what is wrong with it; empty where nothing is.
    """

    model_config = ConfigDict(frozen=True)

    store: StoreName
    server: str = ""
    size: int = 0
    restored: float | None = None
    compared: float | None = None
    state: State = "not tried"
    detail: str = ""


class DrillResult(BaseModel):
    """The whole of it.

    :param trouble: what is wrong with the backup before any server was asked: a damaged chunk, an unreadable artifact.
    :param seconds: by step. :param rto: from the first look at the backup to data that are compared, in seconds.
    :param recorded: whether the result is kept as a check of the backup.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    backup: str
    at: datetime
    stores: tuple[StoreDrill, ...]
    trouble: str = ""
    seconds: dict[str, float] = {}
    rto: float = 0.0
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    recorded: bool = True

    @property
    def names(self) -> tuple[StoreName, ...]:
        return tuple(one.store for one in self.stores)

    @property
    def failed(self) -> tuple[StoreDrill, ...]:
        return tuple(one for one in self.stores if one.state not in GOOD)

    @property
    def passed(self) -> bool:
        return not self.trouble and not self.failed

    @property
    def wrong(self) -> str:
        """What is wrong, in a line."""
        if self.trouble:
            return self.trouble
        return "; ".join(f"{one.store}: {one.detail or one.state}" for one in self.failed)

    @property
    def against(self) -> str:
        """The measured time beside the objective."""
        incident, objective = restore_objective(len(self.stores))
        late = "" if self.rto <= objective.target else ", which it misses"
        return f"{duration_text(self.rto)}, objective for {incident}: {duration_text(objective.target)}{late}"
