"""Random kills in a row: everything is healthy in the end, nothing is lost, and what Dagster keeps stays small."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from archon_dagster.backup.summary import duration_text, size_text
from archon_dagster.errors import ArchonError
from archon_dagster.recovery.files import size_of
from drills.platform import Platform
from drills.recovery import calm, differences
from drills.waiting import TooLate, wait_for

Tell = Callable[[str], None]

LARGEST_GROWTH = 1 << 20  # bytes of Dagster's storage for each kill: a run's log, an incident, a check red and green
FIRST_SIGN_LIMIT = 180.0  # seconds until a kill is an incident
SHARE_OF_TWO = 0.2  # of the kills hit two services at once


@dataclass
class Kills:
    """What came of it. Times are seconds, sizes bytes."""

    wanted: int
    done: int = 0
    incidents: int = 0
    escalated: int = 0
    slowest: float = 0.0
    seconds: float = 0.0
    grown: int = 0
    differences: list[str] | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return self.done == self.wanted and self.differences == [] and not self.problems

    @property
    def line(self) -> str:
        """The verdict."""
        identical = "identical" if self.differences == [] else "different"
        within = "within_bound" if self.grown <= self.done * LARGEST_GROWTH else "too_large"
        return f"DRILL kills={self.done}/{self.wanted} data={identical} event_store={within}"

    @property
    def told(self) -> list[str]:
        """What a person wants to know, a line each."""
        each = self.grown // max(1, self.done)
        return [
            f"{self.incidents} incidents, {self.escalated} of them needed a person; the slowest was over after "
            f"{duration_text(self.slowest)}; {duration_text(self.seconds)} in all",
            f"Dagster's storage grew by {size_text(self.grown)}, {size_text(each)} for each kill "
            f"(bound: {size_text(LARGEST_GROWTH)})",
            *self.problems,
            *(f"not identical: {one}" for one in self.differences or ()),
        ]


def kill_at_random(platform: Platform, count: int, seed: int, tell: Tell) -> Kills:
    """Kill services at random, each time waiting until everybody is healthy; the same seed gives the same kills."""
    chance, found, begun = random.Random(seed), Kills(count), time.monotonic()
    services, before = platform.runtime.services(), size_of(platform.settings.dagster_home)
    known = {one.id for one in platform.book.all()}
    try:
        calm(platform)
        for number in range(1, count + 1):
            victims = chance.sample(services, 2 if chance.random() < SHARE_OF_TWO else 1)
            tell(f"{number}/{count}  kill -9 {', '.join(victims)}")
            _kill(platform, victims)
            found.done = number
        found.differences = differences(platform)
    except (TooLate, ArchonError) as error:
        found.problems.append(str(error))
    new = [one for one in platform.book.all() if one.id not in known]
    found.incidents = len(new)
    found.escalated = sum(any(event.kind == "escalated" for event in one.events) for one in new)
    found.slowest = max((one.seconds_to_recover or 0.0 for one in new), default=0.0)
    found.seconds = time.monotonic() - begun
    found.grown = size_of(platform.settings.dagster_home) - before
    if found.grown > found.done * LARGEST_GROWTH:
        found.problems.append("Dagster's storage has grown beyond its bound")
    return found


def _kill(platform: Platform, victims: list[str]) -> None:
    at = time.time()
    for victim in victims:
        platform.servers.kill(victim)

    def noticed() -> bool:
        """Each of them is part of an incident that has begun since, or begun again."""
        new = [one for one in platform.book.all() if one.last_began.timestamp() >= at]
        return all(any(victim in one.services for one in new) for victim in victims)

    wait_for(f"an incident of {', '.join(victims)}", noticed, FIRST_SIGN_LIMIT, lambda: str(platform.unwell()))
    calm(platform)
