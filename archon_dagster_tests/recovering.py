"""A platform that is watched and recovered in this process: the monitor's rounds and the ladder, one after another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from archon_dagster.context import OperationContext, open_context
from archon_dagster.health import monitor
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.settings import Settings
from archon_dagster.recovery import looking
from archon_dagster.recovery.incident import Incident, Step
from archon_dagster.recovery.noting import note
from archon_dagster.recovery.recover import Recovery, respond
from archon_dagster.recovery.tools import recovery_of
from archon_dagster.stores.base import StoreName


class Watched:
    """Settings and runtime of a platform that has run well."""

    def __init__(self, settings: Settings, runtime: Runtime) -> None:
        self.settings, self.runtime = settings, runtime

    def context(self) -> OperationContext:
        return open_context(self.settings)

    def fingerprints(self) -> dict[StoreName, str]:
        return {name: found.digest for name, found in self.context().fingerprints().items()}

    def look(self) -> None:
        monitor.keep(self.settings, monitor.tick(self.settings, self.runtime))

    def recovers(self, break_it: Callable[[], object], within: float = 60.0) -> list[Incident]:
        """Break something, wait until the monitor says so, respond; the incidents as they ended."""
        break_it()
        recovery = recovery_of(self.settings, self.runtime, threading.Event())
        return [outcome.incident for outcome in respond(recovery, self.due(recovery, within).id)]

    def due(self, recovery: Recovery, within: float = 60.0) -> Incident:
        """The incident for which something can be done first, once the monitor says so."""
        end = time.monotonic() + within
        while time.monotonic() < end:
            self.look()
            findings = looking.confirmed(self.settings, self.runtime)
            assert findings is not None
            standing = note(recovery.book, findings, recovery.policy(), recovery.clock(), 0.0)
            due = [one for one in standing if isinstance(one.decision, Step)]
            if due:
                return due[0].incident
        raise AssertionError(f"not detected within {within:g} s")

    def states(self) -> dict[str, str]:
        return {status.service: status.state for status in self.runtime.status()}


def verbs(incident: Incident) -> list[str]:
    """What was begun for it, in order."""
    return [event.step.verb for event in incident.events if event.kind == "started" and event.step]
