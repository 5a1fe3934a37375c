"""What a restore is asked for, and what it answers."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field

from archon_dagster.repository.manifest import Fingerprint, Manifest
from archon_dagster.restore.selection import Selection
from archon_dagster.stores.base import StoreName

CONFIRMATION = "RESTORE"


def command(selector: str, only: Iterable[str] = (), options: Iterable[str] = ()) -> str:
    """What an operator types to restore a backup, or some of its stores.

    :param options: more words, as :func:`options_of` gives them.
    """
    named = "".join(f" --only {name}" for name in only)
    return f"archon restore {selector} --confirm {CONFIRMATION}{named}" + "".join(f" {shlex.quote(w)}" for w in options)


def options_of(target: str, selection: Selection | None, *, back: bool = False) -> tuple[str, ...]:
    """The words that say where a restore goes and what part of a store it concerns.

    :param back: on the way back the part has its live name only.
    """
    words = ("--target", target) if target else ()
    if selection is None:
        return words
    return (*words, *(selection.back if back else selection).options)


@dataclass(frozen=True)
class RestoreRequest:
    """What to restore.

    :param selector: backup id, unique prefix, date or ``latest``.
    :param confirm: must be ``RESTORE``.
    :param only: restore just these stores; default all the backup has.
    :param portable: restore the vectors point by point even where their snapshots would do.
    :param without_safety_copy: go on although what is there now cannot be copied first: there is no way back then.
    :param target: where to, as :mod:`archon_dagster.restore.target` reads it; empty: this platform.
    :param selection: restore no more than this.
    """

    selector: str
    confirm: str
    only: tuple[StoreName, ...] = ()
    without_safety_copy: bool = False
    portable: bool = False
    target: str = ""
    selection: Selection | None = None


@dataclass
class RestoreResult:
    """A finished restore.

    :param before: fingerprints the backup promises, by store; :param after: those of the live stores afterwards.
    :param seconds: per step; :param rto: from the first step to healthy, in seconds.
    :param unhealthy: services that did not become ready afterwards; the data are restored all the same.
    :param warnings: what could not be put back exactly as it was.
    :param notes: what an operator should know besides: what was left out, and why.
    :param target: where it went; empty: into this platform. :param selection: what part of a store it was.
    :param moved: bytes that each store was restored from.
    :param by_points: the vectors went point by point.
    """

    backup: Manifest
    stores: tuple[StoreName, ...]
    safety: Manifest | None = None
    not_copied: dict[StoreName, str] = field(default_factory=dict)
    before: dict[StoreName, Fingerprint] = field(default_factory=dict)
    after: dict[StoreName, Fingerprint] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    rto: float = 0.0
    unhealthy: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    target: str = ""
    selection: Selection | None = None
    moved: dict[StoreName, int] = field(default_factory=dict)
    by_points: bool = False

    @property
    def undo(self) -> str | None:
        """The command that goes back to what was there before."""
        if self.safety is None:
            return None
        return command(self.safety.id, options=options_of(self.target, self.selection, back=True))

    @property
    def what(self) -> str:
        """What was restored, and where to, if that is not all of it into this platform."""
        part = f", {self.selection}" if self.selection else ""
        return f"backup {self.backup.id}{part}" + (f", into {self.target}" if self.target else "")
