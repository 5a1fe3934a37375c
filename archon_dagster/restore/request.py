"""What a restore is asked for, and what it answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from archon_dagster.repository.manifest import Fingerprint, Manifest
from archon_dagster.stores.base import StoreName

CONFIRMATION = "RESTORE"


def command(selector: str, only: Iterable[str] = ()) -> str:
    """What an operator types to restore a backup, or some of its stores."""
    return f"archon restore {selector} --confirm {CONFIRMATION}" + "".join(f" --only {name}" for name in only)


@dataclass(frozen=True)
class RestoreRequest:
    """What to restore.

    :param selector: backup id, unique prefix, date or ``latest``.
    :param confirm: must be ``RESTORE``.
    :param only: restore just these stores; default all the backup has.
    :param portable: restore the vectors point by point even where their snapshots would do.
    :param without_safety_copy: go on although what is there now cannot be copied first: there is no way back then.
    """

    selector: str
    confirm: str
    only: tuple[StoreName, ...] = ()
    without_safety_copy: bool = False
    portable: bool = False


@dataclass
class RestoreResult:
    """A finished restore.

    :param before: fingerprints the backup promises, by store; :param after: those of the live stores afterwards.
    :param seconds: per step; :param rto: from the first step to healthy, in seconds.
    :param unhealthy: services that did not become ready afterwards; the data are restored all the same.
    :param warnings: what could not be put back exactly as it was.
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

    @property
    def undo(self) -> str | None:
        """The command that goes back to what was there before."""
        return command(self.safety.id) if self.safety else None
