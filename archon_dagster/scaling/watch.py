"""One look of the autoscaler: the load, what is decided, what is remembered for the next look.

What is remembered is a small file in the home: the sensor, the command line and a restarted daemon see the same.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

from archon_dagster.platform import whole_files
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.settings import Settings
from archon_dagster.scaling import load
from archon_dagster.scaling.autoscaling import Action, Memory, Policy, Reading, decide
from archon_dagster.scaling.hindrances import hindrances
from archon_dagster.scaling.scale import SERVICE


class Look(BaseModel):
    """What one look came to.

    :param at: seconds since the epoch. :param load: milliseconds or percent, as :attr:`by` says; ``None``: not known.
    :param replicas: how many there shall be, after :attr:`action`.
    """

    model_config = ConfigDict(frozen=True)

    at: float
    by: str
    load: float | None
    have: int
    action: Action
    replicas: int
    why: str
    dry_run: bool
    memory: Memory = Memory()

    @property
    def line(self) -> str:
        """The look in a sentence."""
        if self.action == "hold":
            return f"{self.have} replicas: {self.why}"
        would = "would be " if self.dry_run else ""
        return f"{would}scaled {self.action} from {self.have} to {self.replicas} replicas: {self.why}"


_LOOK = TypeAdapter(Look)


def _path(home: Path) -> Path:
    return home / "scaling" / "autoscaler.json"


def last(home: Path) -> Look | None:
    """The last look; ``None``: there has been none."""
    return whole_files.read(_path(home), _LOOK)


def policy_of(settings: Settings) -> Policy:
    """The policy of the settings; :class:`ConfigurationError` where it contradicts itself."""
    return Policy(
        minimum=settings.autoscale_least,
        maximum=min(settings.autoscale_most, settings.scaling_most),
        high=settings.autoscale_high,
        low=settings.autoscale_low,
        rising=settings.autoscale_rising,
        falling=settings.autoscale_falling,
        cool_down=settings.autoscale_cool_down,
    )


def look(settings: Settings, runtime: Runtime, now: datetime) -> Look:
    """Look, decide, remember. While something is in the way nothing is counted: that load says nothing."""
    policy, before = policy_of(settings), last(settings.home)
    memory = before.memory if before else Memory()
    found = runtime.replicas(SERVICE)
    busy, reasons = None, hindrances(SERVICE, settings, now)
    if not reasons and found.fixed:
        reasons = [f"it cannot run more than once: {found.fixed}"]
    if reasons:
        came = Look(
            at=now.timestamp(), by=settings.autoscale_by, load=None, have=found.wanted, action="hold",
            replicas=found.wanted, why="; ".join(reasons), dry_run=settings.autoscale_dry_run,
            memory=Memory(stepped=memory.stepped),
        )  # fmt: skip
    else:
        by_latency = settings.autoscale_by == "latency"
        busy = load.latency(settings) if by_latency else load.processor(runtime, found.wanted)
        decision, memory = decide(policy, memory, Reading(found.wanted, busy), now.timestamp())
        came = Look(
            at=now.timestamp(), by=settings.autoscale_by, load=busy, have=found.wanted, action=decision.action,
            replicas=decision.replicas, why=decision.why, dry_run=settings.autoscale_dry_run, memory=memory,
        )  # fmt: skip
    whole_files.write(_path(settings.home), _LOOK, came)
    return came
