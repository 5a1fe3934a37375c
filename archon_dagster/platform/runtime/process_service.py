"""One service of the processes runtime: its instance, and what can be done to it.

Whoever calls a verb holds the service's lock; looking is free.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from archon_dagster.errors import ServiceError
from archon_dagster.platform.runtime import process_instance as instances
from archon_dagster.platform.runtime import process_tree as trees
from archon_dagster.platform.runtime.process_instance import Instance
from archon_dagster.platform.runtime.process_limits import limited
from archon_dagster.platform.runtime.process_spec import FILE_NAME, ProcessSpec, read_spec
from archon_dagster.platform.runtime.protocol import ServiceStatus, State

_FREEZE_BUDGET = 10.0  # seconds
KILL_BUDGET = 15.0  # seconds a killed process may take to be gone; longer means the kernel is stuck on a disk
_WORKERS_BUDGET = 1.0  # seconds workers get to follow their main process
_LOG_LINES = 15


@dataclass(frozen=True)
class ServiceProcess:
    """A service by its directory.

    :param grace: seconds it gets to stop by itself.
    :param label: what it is called where that is not its directory's name.
    """

    directory: Path
    grace: float
    label: str = ""

    @property
    def name(self) -> str:
        """What it is called, in messages too."""
        return self.label or self.directory.name

    def spec(self) -> ProcessSpec:
        """The current specification, as it is written."""
        return limited(read_spec(self.directory), self.directory)

    def instance(self) -> Instance | None:
        """The instance last started, living or not."""
        return instances.read_instance(self.directory)

    def status(self) -> ServiceStatus:
        instance = self.instance()
        if instance is None:
            return ServiceStatus(self.name, "absent", replicas=0)
        return ServiceStatus(self.name, _state(instance), str(instance.pid), instance.started, instance.exit_code)

    def members(self) -> list[psutil.Process]:
        """Its main process and all descendants."""
        instance = self.instance()
        return trees.tree(instance.pid) if instance is not None and instance.lives() else []

    def log(self, lines: int) -> str:
        """The last lines it wrote, newest last."""
        return instances.tail(self.directory / instances.LOG_NAME, lines)

    def running(self, *also: State) -> Instance:
        """The living instance; raises where it is not running (or in one of the states ``also``)."""
        instance = self.instance()
        state: State = "absent" if instance is None else _state(instance)
        if instance is None or state not in ("running", *also):
            raise self.failure(
                f"{self.name} is {state}, not running", todo=f"start it: archon sandbox start {self.name}"
            )
        return instance

    def failure(self, what: str, *, todo: str | None = None) -> ServiceError:
        """An error about this service that ends with its last log lines."""
        return ServiceError(f"{what}\nlast log lines of {self.name}:\n{self.log(_LOG_LINES) or '(none)'}", todo=todo)

    # verbs

    def up(self) -> None:
        instance = self.instance()
        if instance is None or not instance.lives():
            self._launch(self.spec().resolved())

    def _launch(self, spec: ProcessSpec) -> None:
        self._clear_strays(spec)
        instances.launch(self.directory, self.name, spec)

    def _clear_strays(self, spec: ProcessSpec) -> None:
        """End workers of an instance whose main process is gone: they would hold its port or its data."""
        instance = self.instance()
        known = spec if instance is None else instance.spec
        left = trees.kill_all(trees.strays(instance.mark if instance else "", known.program, known.cwd), KILL_BUDGET)
        if left:
            raise self.failure(f"{self.name} still has processes that cannot be ended: {[p.pid for p in left]}")

    def stop(self) -> None:
        instance = self.instance()
        if instance is None:
            return
        if instance.lives():
            self._ask_to_stop(instance)
        self._clear_strays(instance.spec)

    def _ask_to_stop(self, instance: Instance) -> None:
        members = trees.tree(instance.pid)
        with suppress(ProcessLookupError):
            os.killpg(instance.pid, instance.spec.stop_signal)
        trees.thaw(instance.pid, _FREEZE_BUDGET)  # a frozen process acts on the signal as soon as it goes on
        if not instances.wait_ended(instance, self.grace):
            self._end_tree(instance)
        elif left := trees.wait_gone(members, _WORKERS_BUDGET):  # workers end with their parent, or are ended
            trees.kill_all(left, KILL_BUDGET)

    def _end_tree(self, instance: Instance) -> None:
        left = trees.kill_all(trees.tree(instance.pid), KILL_BUDGET)
        if left:
            raise self.failure(f"{self.name} does not end even when killed: {[p.pid for p in left]}")
        instances.record_end(self.directory, instance, -signal.SIGKILL)

    def restart(self) -> None:
        instance = self.instance()
        self.stop()
        self._launch(instance.spec if instance else self.spec().resolved())

    def recreate(self) -> None:
        fresh = self.spec().resolved()  # before anything is stopped: it may be unusable
        self.stop()
        self._launch(fresh)

    def down(self) -> None:
        self.stop()
        instances.forget(self.directory)

    def remove(self) -> None:
        self.down()
        (self.directory / FILE_NAME).unlink(missing_ok=True)

    def pause(self) -> None:
        pid = self.running("paused").pid
        if not trees.freeze(pid, _FREEZE_BUDGET):
            trees.thaw(pid, _FREEZE_BUDGET)  # half frozen is worse than running
            raise self.failure(f"{self.name} could not be frozen within {_FREEZE_BUDGET:g} s")

    def unpause(self) -> None:
        if not trees.thaw(self.running("paused").pid, _FREEZE_BUDGET):
            raise self.failure(f"{self.name} could not be continued within {_FREEZE_BUDGET:g} s")

    def kill(self, number: int) -> None:
        instance = self.running("paused")
        if number != signal.SIGKILL:
            with suppress(ProcessLookupError):
                os.kill(instance.pid, number)
            return
        self._end_tree(instance)
        self._clear_strays(instance.spec)


def _state(instance: Instance) -> State:
    if not instance.lives():
        return "exited"
    try:
        stopped = trees.is_stopped(psutil.Process(instance.pid))
    except psutil.NoSuchProcess:
        return "exited"
    return "paused" if stopped else "running"
