"""A step of the maintenance, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict

from archon_dagster.context import OperationContext

State = Literal["done", "nothing to do", "skipped", "failed"]
Housekeeping = Callable[[float, frozenset[str]], str]
"""Removes Dagster's runs older than so many days but for those of these backups, and says what it did; the Dagster
shell brings it."""


@dataclass(frozen=True)
class MaintenanceContext:
    """What the steps work with.

    :param housekeeping: ``None`` outside of Dagster.
    :param confirm_packages: typed by the operator; host packages are installed only then.
    """

    operation: OperationContext
    housekeeping: Housekeeping | None = None
    confirm_packages: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """What a step function returns.

    :param detail: a line for the report. :param lines: more of it. :param idle: there was nothing to do here.
    :param warning: it is done, and somebody should read what it says.
    """

    detail: str
    lines: tuple[str, ...] = ()
    idle: bool = False
    backup: str = ""
    warning: bool = False


@dataclass(frozen=True)
class MaintenanceStep:
    """One step.

    :param protects: it makes the data safer: a failure elsewhere never skips it.
    :param harms: it changes or deletes something: not done where this run's backup has failed.
    :param default: part of the weekly run; others only when they are named.
    """

    name: str
    does: str
    work: Callable[[MaintenanceContext], Done]
    protects: bool = False
    harms: bool = False
    default: bool = True


class Result(BaseModel):
    """What came of a step in one run."""

    model_config = ConfigDict(frozen=True)

    step: str
    state: State
    detail: str
    seconds: float = 0.0
    lines: tuple[str, ...] = field(default=())
    backup: str = ""
    warning: bool = False

    @property
    def finished(self) -> bool:
        """A successor of this run need not do it again."""
        return self.state in ("done", "nothing to do")
