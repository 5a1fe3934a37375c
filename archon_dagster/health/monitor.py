"""One tick of the monitor: look at everything, confirm what is in doubt within seconds, tell what has changed.

After a first bad sample a service is not left for the next round: it is asked again at a short interval until the
doubt is settled, within the time that a tick may take. The same for its recovery. What is known goes to the home, so
that whoever ticks next goes on from there.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from archon_dagster.health import at_work, background, events, restores, windows
from archon_dagster.health import state as states
from archon_dagster.health.evaluation import Change, Policy, ServiceState, advance
from archon_dagster.health.events import Event
from archon_dagster.health.history import History
from archon_dagster.health.knowledge import Knowledge
from archon_dagster.health.reading import silent_after
from archon_dagster.health.root_cause import explain
from archon_dagster.health.samples import Sample
from archon_dagster.health.sampling import Watched, take_samples, unexamined, watched
from archon_dagster.health.state import MonitorState
from archon_dagster.platform.probes import warm_up
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.services import BY_NAME
from archon_dagster.platform.settings import Settings

FEW = 3  # services reported in one tick without news

Clock = Callable[[], float]
Looks = Literal["due", "reading"]
"""All of them, or those that write nothing."""


@dataclass(frozen=True, slots=True)
class Tick:
    """What one tick found.

    :param samples: the last one of each service. :param events: the confirmed changes.
    :param heartbeat: the services that it is time to report again, changed or not.
    """

    state: MonitorState
    samples: Mapping[str, Sample]
    events: tuple[Event, ...]
    heartbeat: frozenset[str]
    seconds: float


def tick(
    settings: Settings,
    runtime: Runtime,
    *,
    clock: Clock = time.time,
    before: MonitorState | None = None,
    looks: Looks = "due",
) -> Tick:
    """Look once; changes nothing on disk (but for what an end-to-end test writes and deletes).

    :param before: what is known already; default: what the home says.
    :param looks: which of the slower looks are made, if they are due.
    """
    before = states.load(settings.home) if before is None else before
    warm_up()
    return _Ticking(settings, runtime, clock, before).run(looks)


def look_now(settings: Settings, runtime: Runtime, clock: Clock = time.time) -> Tick:
    """Look at everything at once, the slower looks too, whatever is known already; keeps nothing."""
    return tick(settings, runtime, clock=clock, before=replace(states.load(settings.home), known=Knowledge()))


def keep(settings: Settings, found: Tick, clock: Clock = time.time) -> None:
    """Write what a tick found to the home: history, events, then the state."""
    history = History(settings.home, settings.health_history_samples, settings.health_history_days)
    history.add(found.samples.values(), clock())
    if found.events:
        events.append(settings.home, found.events)
    states.save(settings.home, found.state)


def policy_of(service: str, settings: Settings) -> Policy:
    """The general policy with what is set for this service."""
    own = settings.health_policies.get(service)
    return Policy(
        failures=(own.failures if own else None) or settings.health_failures,
        successes=(own.successes if own else None) or settings.health_successes,
        flap_changes=settings.health_flap_changes,
        flap_window=settings.health_flap_window,
        unknown_after=silent_after(settings.health_interval),
    )


class _Ticking:
    def __init__(self, settings: Settings, runtime: Runtime, clock: Clock, before: MonitorState):
        self.settings, self.runtime, self.clock, self.before = settings, runtime, clock, before
        self.watched: Watched = watched(settings, runtime)
        names = {service.name for service in self.watched.services}
        self.services = {name: state for name, state in before.services.items() if name in names}
        self.known = restores.forget_what_was_before(before.known, settings)
        self.samples: dict[str, Sample] = {}
        self.changes: list[Change] = []
        self.begun = time.monotonic()
        self.until = self.begun + settings.health_confirm_limit

    def run(self, looks: Looks) -> Tick:
        self._ask(service.name for service in self.watched.services)
        self._settle()
        bad_news = any(change.new in ("degraded", "unhealthy") for change in self.changes)
        if looks == "reading" or not bad_news:  # else first things first: the next tick is soon
            self._look_slowly(looks)
        return self._result()

    def _ask(self, names: Iterable[str]) -> None:
        """Take a sample of each, and move on."""
        chosen = [BY_NAME[name] for name in names]
        found = take_samples(chosen, self.settings, self.clock)
        self._judge(found)

    def _judge(self, found: Mapping[str, Sample]) -> None:
        now = self.clock()
        why = windows.reasons(found, self.settings, now)
        seen = {
            name: replace(background.facets(sample, self.known, self.settings), maintenance=why.get(name, ""))
            for name, sample in found.items()
        }
        seen = restores.mark_half_restored(seen, self.settings)
        if any(sample.verdict != "healthy" for sample in seen.values()):
            seen = at_work.excuse(seen, at_work.purpose(self.settings))
        for name, sample in seen.items():
            state = self.services.get(name, ServiceState())
            self.services[name], change = advance(state, sample, now, policy_of(name, self.settings))
            if change is not None:
                self.changes.append(change)
        self.samples |= seen

    def _settle(self) -> None:
        """Ask those in doubt again until there is none, or the time is up."""
        pause = threading.Event()
        while doubtful := [name for name, state in self.services.items() if state.in_doubt]:
            if time.monotonic() + self.settings.health_reprobe >= self.until:
                return
            pause.wait(self.settings.health_reprobe)
            self._ask(doubtful)

    def _look_slowly(self, looks: Looks) -> None:
        """What is new counts as one more sample of the services it is about, and is confirmed like any other."""
        before = {name: self._facets(name) for name in self.samples}
        reading = looks == "reading"
        self.known = background.look(
            self.known, self.samples, self.settings, self.runtime, self.clock(), only_reading=reading
        )
        changed = [name for name in self.samples if self._facets(name) != before[name]]
        if changed:
            self.until = time.monotonic() + self.settings.health_confirm_limit
            self._judge({name: self.samples[name] for name in changed})
            self._settle()

    def _facets(self, name: str) -> list[tuple[str, bool | None]]:
        seen = background.facets(self.samples[name], self.known, self.settings)
        return [(facet.name, facet.passed) for facet in seen.facets]

    def _result(self) -> Tick:
        now = self.clock()
        causes = self._causes()
        sequence = self.before.sequence
        if self.changes:  # a tick that was killed may have written events that its state does not know of
            sequence = max(sequence, events.newest(self.settings.home))
        told = tuple(
            Event(sequence + number, change, causes.get(change.service, ()))
            for number, change in enumerate(self.changes, 1)
        )
        heartbeat = self._heartbeat(now)
        bad = {name for name, state in self.services.items() if state.state in ("degraded", "unhealthy")}
        reported = {name: now for name in bad if name not in self.before.heartbeats} | dict.fromkeys(heartbeat, now)
        after = MonitorState(
            at=now,
            heartbeats={
                name: at for name, at in {**self.before.heartbeats, **reported}.items() if name in self.services
            },
            sequence=sequence + len(told),
            services=self.services,
            causes=causes,
            left_out=self.watched.left_out,
            known=self.known,
            unexamined=unexamined(self.samples.get("qdrant")),
        )
        return Tick(after, self.samples, told, heartbeat, time.monotonic() - self.begun)

    def _heartbeat(self, now: float) -> frozenset[str]:
        """Those not reported for longest, or never, a few in each tick: an event takes its time, and a tick must not.

        Who is in doubt waits until that is settled.
        """
        every, last = self.settings.health_heartbeat, self.before.heartbeats
        settled = [name for name, state in self.services.items() if not state.in_doubt]
        due = [name for name in settled if name not in last or not 0 <= now - last[name] < every]
        few = max(FEW, math.ceil(len(self.services) * self.settings.health_interval / every))
        return frozenset(sorted(due, key=lambda name: last.get(name, 0.0))[:few])

    def _causes(self) -> dict[str, tuple[str, ...]]:
        """For whoever is not well, also what merely seems unwell may be the cause: it is not confirmed as fast.

        And what is in maintenance: nobody is told of it, but who needs it has not failed on its own.
        """
        unwell = {
            name: state.reached
            for name, state in self.services.items()
            if state.state in ("degraded", "unhealthy")
            or (state.in_doubt and state.pending != "healthy")
            or (state.state == "maintenance" and self._fails(name))
        }
        blamed = {name: reached for name, reached in unwell.items() if not self._only_slow(name)}
        return explain(blamed, self.settings.health_depends, in_part={name for name in blamed if self._in_part(name)})

    def _in_part(self, name: str) -> bool:
        """It is degraded, and its last sample speaks for nothing worse."""
        state = self.services[name]
        return state.state not in ("unhealthy", "maintenance") and all(facet.minor for facet in state.failed)

    def _fails(self, name: str) -> bool:
        return name in self.samples and self.samples[name].verdict == "unhealthy"

    def _only_slow(self, name: str) -> bool:
        failed = self.services[name].failed
        return bool(failed) and all(facet.problem == "slow" for facet in failed)
