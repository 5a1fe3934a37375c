"""One line of an incident's timeline: what happened, or a step with its beginning and its end."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from archon_dagster.stores.base import StoreName

Verb = Literal["evidence", "copy_aside", "set_aside", "restart", "recreate", "start_all", "restore"]
EventKind = Literal[
    "detected",  # the first bad sample
    "confirmed",  # it is believed
    "classified",  # what it is turned out to be something else
    "started",  # an action begins
    "finished",  # it ended, well or not
    "note",  # worth knowing, and no action
    "escalated",  # a person is needed
    "relapsed",  # it was over, and is not
    "asked",  # a person wants it tried again
    "recovered",
    "merged",  # it is part of another incident now
]

ACTIONS: frozenset[Verb] = frozenset({"restart", "recreate", "start_all", "restore"})
"""What may change the platform, and so counts as an attempt; the others only look, copy or move aside."""


class Strict(BaseModel):
    """What is kept on disk: nothing else in it, and never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class Step(Strict):
    """One thing to do.

    :param services: whom it is done to. :param store: whose data it is about.
    :param parts: collections it is about; none: the store as a whole.
    :param backup: what is restored.
    """

    verb: Verb
    services: tuple[str, ...] = ()
    store: StoreName | None = None
    parts: tuple[str, ...] = ()
    backup: str = ""

    def __str__(self) -> str:
        whom = ", ".join(self.services)
        what = f" ({', '.join(self.parts)})" if self.parts else ""
        said: dict[Verb, str] = {
            "evidence": f"capture evidence of {whom}",
            "copy_aside": f"copy the files of {whom}{what} aside",
            "set_aside": f"set damaged files of {whom} aside{what}",
            "restart": f"restart {whom}",
            "recreate": f"recreate {whom}",
            "start_all": f"start everything in order: {whom}",
            "restore": f"restore {self.store}{what} from backup {self.backup}",
        }
        return said[self.verb]


class Event(Strict):
    """One line of the timeline.

    :param ok: how an action ended. :param seconds: how long it took.
    """

    at: AwareDatetime
    kind: EventKind
    text: str = ""
    step: Step | None = None
    ok: bool | None = None
    seconds: float | None = None
