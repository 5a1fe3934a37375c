"""What can be done to a service of the processes runtime that runs more than once.

The balancer stays when the service is scaled back to one: its port changes hands only once, and then within hundredths
of a second, when the replicas are well already. Whoever calls a verb holds the service's lock.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from pathlib import Path

from archon_dagster.errors import ServiceError
from archon_dagster.platform.runtime import process_instance as instances
from archon_dagster.platform.runtime import process_scale as files
from archon_dagster.platform.runtime.process_replica_set import ReplicaSet, lives, replication
from archon_dagster.platform.runtime.process_scale import Scale, wait
from archon_dagster.platform.runtime.process_service import ServiceProcess
from archon_dagster.platform.runtime.process_spec import PORT, write_spec

INSTANCE = "INSTANCE_ID"
"""The variable that tells a replica from the others."""

_DRAIN = 15.0  # seconds open requests of a replica that goes may take; its own grace comes on top
_HAND_OVER = 10.0  # seconds the balancer may take to have a port that is free


class ReplicatedService(ReplicaSet):
    """The verbs of :class:`ServiceProcess`, for all processes of a service."""

    def up(self) -> None:
        """Start what does not run."""
        self._end_former()
        for number, one in enumerate(self.wanted(), 1):
            if not lives(one):
                self._launch(number)
        self._end_others()
        self.front.up()

    def stop(self) -> None:
        self._thoroughly(self.parts(), ServiceProcess.stop)

    def restart(self) -> None:
        """Stop and start each process with the environment it was given."""
        for number, one in enumerate(self.wanted(), 1):
            if one.instance() is None:
                self._launch(number)
            else:
                one.restart()
        self.front.restart()

    def recreate(self) -> None:
        """Replace every replica, and the balancer, which may have to listen elsewhere."""
        fresh = self.spec().resolved()  # before anything is stopped: it may be unusable
        replication(fresh, self.name)
        self._end_former()
        for number, one in enumerate(self.wanted(), 1):
            one.stop()
            self._launch(number)
        self._end_others()
        self.front.recreate()

    def down(self) -> None:
        self._thoroughly(self.parts(), ServiceProcess.down)

    def remove(self) -> None:
        self._thoroughly(self.parts(), ServiceProcess.remove)

    def pause(self) -> None:
        self._living(ServiceProcess.pause)

    def unpause(self) -> None:
        self._living(ServiceProcess.unpause)

    def kill(self, number: int) -> None:
        self._living(lambda one: one.kill(number))

    def scale_to(self, replicas: int) -> None:
        """Run so many replicas. One that goes gets nothing new, and time for what it has."""
        if files.read_scale(self.directory) is None:
            self._first(replicas)
            return
        before = self.scale().ports
        kept = {number: port for number, port in before.items() if number <= replicas}
        files.write_scale(self.directory, Scale(replicas=replicas, ports=kept))
        for port in set(before.values()) - set(kept.values()):
            self._drained(port)
        self._end_others()
        if lives(self.front):
            self.up()

    # how it is done

    def _first(self, replicas: int) -> None:
        """From one process to replicas behind a balancer; where they are not well in time, all is as it was."""
        files.write_scale(self.directory, Scale(replicas=replicas))
        only = ServiceProcess(self.directory, self.grace)
        if not lives(only):
            return
        try:
            for number in range(1, replicas + 1):
                self._launch(number)
            self._move(self.directory, self.former.directory)
            self.front.up()
            if not wait(self._any_well, self.start_budget):
                raise self.failure(f"no replica of {self.name} was well within {self.start_budget:g} s")
        except BaseException:
            if self.former.instance() is not None:
                self.front.down()
                self._move(self.former.directory, self.directory)
            (self.directory / files.SCALE).unlink()
            self._thoroughly(self.others(0).values(), ServiceProcess.down)
            raise
        self._end_former()
        if not wait(self._listening, _HAND_OVER):
            raise self.failure(f"the balancer of {self.name} does not listen {_HAND_OVER:g} s after the port was free")

    def _end_former(self) -> None:
        if self.is_single() and self.former.instance() is None:
            self._move(self.directory, self.former.directory)
        if self.former.instance() is not None:
            self.former.down()

    def _end_others(self) -> None:
        self._thoroughly(self.others(self.scale().replicas).values(), ServiceProcess.down)

    def _move(self, here: Path, there: Path) -> None:
        """Take the record of a process elsewhere; the process does not notice."""
        there.mkdir(exist_ok=True)
        (here / instances.FILE_NAME).replace(there / instances.FILE_NAME)

    def _launch(self, number: int) -> None:
        one, scale = self.replica(number), self.scale()
        port = _free_port({*scale.ports.values()})
        spec = self.spec()
        command = [part.replace(PORT, str(port)) for part in replication(spec, self.name).command]
        own = {"command": command, "env": spec.env | {INSTANCE: f"{self.name}-{number}"}, "replication": None}
        write_spec(one.directory, spec.model_copy(update=own))
        one.recreate()
        files.write_scale(self.directory, scale.model_copy(update={"ports": {**scale.ports, number: port}}))

    def _drained(self, port: int) -> None:
        def gone() -> bool:
            said = self.rotation()
            return not lives(self.front) or (said is not None and said.of(port) is None)

        wait(gone, _DRAIN)  # whoever has still a connection then has the replica's own grace

    def _any_well(self) -> bool:
        said = self.rotation()
        if not lives(self.front):
            raise self.failure(f"the balancer of {self.name} has ended")
        if not any(map(lives, self.wanted())):
            raise self.failure(f"no replica of {self.name} is left")
        return said is not None and any(one.well for one in said.replicas)

    def _listening(self) -> bool:
        said = self.rotation()
        return said is not None and said.listening

    def _living(self, verb: Callable[[ServiceProcess], None]) -> None:
        living = [one for one in self.parts() if lives(one)]
        if not living:
            raise self.failure(f"{self.name} is {self.status().state}, not running")
        self._thoroughly(living, verb)

    def _thoroughly(self, parts: Iterable[ServiceProcess], verb: Callable[[ServiceProcess], None]) -> None:
        """Each of them, also where one fails; the first failure is raised then."""
        failures: list[ServiceError] = []
        for one in parts:
            try:
                verb(one)
            except ServiceError as error:
                failures.append(error)
        if failures:
            raise failures[0]


def _free_port(but: set[int]) -> int:
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in but:
            return port
