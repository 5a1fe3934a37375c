"""What recovery knows when it decides: who is not well, why, and what is proven about the data.

Plain values, made in one place (:mod:`archon_dagster.recovery.looking`) from what the health monitor has confirmed, or
from fresh probes. Nothing that decides anything asks a server itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from archon_dagster.platform.services import BY_NAME
from archon_dagster.stores.base import StoreName

ProofKind = Literal[
    "gone",  # a collection or the database is not there any more
    "unreadable",  # it is there and cannot be read
    "garbage",  # stored points do not find themselves
    "collapsed",  # far fewer records than the last good backup has
    "came_up_empty",  # nothing at all, where the last good backup has records
    "half_restored",  # a restore was interrupted while it replaced them
    "cannot_load",  # the server ends at start because of it; its log says so
]

LOST: frozenset[ProofKind] = frozenset({"gone", "collapsed", "came_up_empty"})
"""What is lost; the other kinds are there and damaged."""


@dataclass(frozen=True, slots=True)
class Proof:
    """Loss or damage of a store that was seen, not guessed.

    :param parts: which collections it is about; none: the store as a whole.
    """

    store: StoreName
    kind: ProofKind
    detail: str
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One service that is confirmed not to be well.

    :param causes: other unwell services that explain it; none: it failed on its own.
    :param first_seen: the first sample that showed it; :param since: when it was confirmed.
    :param mending: it is well by the last sample, which is not confirmed yet.
    """

    service: str
    detail: str
    first_seen: datetime
    since: datetime
    causes: tuple[str, ...] = ()
    mending: bool = False

    @property
    def external(self) -> bool:
        """Nobody here can start or restore it."""
        return BY_NAME[self.service].external


@dataclass(frozen=True, slots=True)
class Findings:
    """The whole picture at one moment.

    :param watched: every service that was looked at.
    :param proofs: what is proven about the data.
    :param unsure: services of which nothing can be said now, with the reason: in maintenance, stopped on purpose, or
        not known yet. They are left alone, and so is who needs them.
    :param stopped: those of them that an emergency response has stopped, and brings back.
    :param flapping: services that keep failing and coming back.
    :param uncounted: stores whose records could not be looked at now, with the reason: they may be lost or not.
    :param counted: when graph and database were last counted; ``None``: they are not.
    :param at_work: what the holder of the platform lock does, e.g. ``restore of 2026…``; empty: nobody.
    :param interrupted: of a restore that was killed: how it is finished or undone; empty: there is none.
    :param backups: the newest good backup of each store; ``backups_known``: the repository could be asked.
    """

    at: datetime
    unwell: Mapping[str, Finding] = field(default_factory=dict)
    watched: frozenset[str] = frozenset()
    proofs: tuple[Proof, ...] = ()
    unsure: Mapping[str, str] = field(default_factory=dict)
    stopped: frozenset[str] = frozenset()
    flapping: frozenset[str] = frozenset()
    uncounted: Mapping[str, str] = field(default_factory=dict)
    counted: datetime | None = None
    at_work: str = ""
    interrupted: str = ""
    backups: Mapping[StoreName, str] = field(default_factory=dict)
    backups_known: bool = True

    @property
    def well(self) -> frozenset[str]:
        """Services that are known to do their work, if slowly."""
        return self.watched - self.unwell.keys() - self.unsure.keys()

    @property
    def restoring(self) -> bool:
        """Somebody is restoring: whatever looks broken is being mended."""
        return self.at_work.startswith("restore")
