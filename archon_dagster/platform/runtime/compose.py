"""The platform's services as containers of one Docker Compose project: the runtime of production.

What there is, :mod:`compose_services` finds out; here is what is done to it. Compose makes containers; stopping,
freezing and looking need no compose file, so they also work while somebody has broken it. Concurrent callers are kept
apart by a lock per service, and compose itself by one for the project: two of its commands at once make a network
twice. The command itself holds the lock too, and goes on holding it if its caller is killed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

from archon_dagster.errors import ArchonError, ConfigurationError, ServiceError
from archon_dagster.platform.limits import Resources
from archon_dagster.platform.runtime import compose_engine as engines
from archon_dagster.platform.runtime import compose_variables
from archon_dagster.platform.runtime.compose_engine import Container, engine
from archon_dagster.platform.runtime.compose_exec import ContainerExec
from archon_dagster.platform.runtime.compose_lock import held
from archon_dagster.platform.runtime.compose_project import ComposeProject
from archon_dagster.platform.runtime.compose_services import ComposeServices
from archon_dagster.platform.runtime.phases import in_phases
from archon_dagster.platform.services import BY_NAME, Service

_GRACE = 30.0  # seconds a service outside the catalogue gets to stop
_START_LIMIT = 600.0  # seconds compose may take to make a service's containers, an image that is missing included
_IMAGE_LIMIT = 1800.0  # seconds a pull or a build may take
_LOCK_LIMIT = 60.0  # seconds to wait for another caller, beside the grace period
_LOG_LINES = 15

Verb = Callable[[Any, str], None]


class ComposeRuntime(ComposeServices):
    """See :class:`~archon_dagster.platform.runtime.protocol.Runtime`.

    :param project: the compose project.
    :param locks: a directory for lock files, the same for all callers.
    :param catalogue: order and grace periods of the services, by name.
    """

    kind: Literal["compose"] = "compose"

    def __init__(self, project: ComposeProject, locks: Path, catalogue: Mapping[str, Service] = BY_NAME):
        super().__init__(project, catalogue)
        self._locks = locks

    # verbs

    def up(self, *services: str) -> None:
        """Start what does not run, from the current configuration; what runs, or is paused, is left alone."""
        self._each(self._chosen(services), self._up, balanced=True)

    def stop(self, *services: str) -> None:
        """Ask to stop, wait for the catalogue's grace period, then kill; dependents first."""
        self._each(self._chosen(services), self._stop, backwards=True, thorough=True, balanced=True)

    def pause(self, *services: str) -> None:
        """Freeze every container of the services."""
        self._each(self._chosen(services), self._pause)

    def unpause(self, *services: str) -> None:
        """Let frozen services go on."""
        self._each(self._chosen(services), self._unpause, thorough=True)

    def restart(self, *services: str) -> None:
        """Stop and start the same containers; one that is absent is made."""
        self._each(self._chosen(services), self._restart, balanced=True)

    def recreate(self, *services: str) -> None:
        """Replace the containers by new ones from the current configuration; named volumes stay."""
        self._each(self._chosen(services), self._recreate, balanced=True)

    def down(self) -> None:
        """Stop and remove every container of this project. Volumes and networks stay."""
        self._each(self._in_order(set(self._made())), self._down, backwards=True, thorough=True)

    def pull(self, *services: str) -> None:
        """Fetch the images of the current configuration, those of balancers too."""
        self._compose("pull", "--ignore-buildable", *self._with_balancers(services), limit=_IMAGE_LIMIT)

    def build(self, *services: str) -> None:
        """Build the images that are built here, on fresh bases."""
        self._compose("build", "--pull", *self._with_balancers(services), limit=_IMAGE_LIMIT)

    def scale(self, service: str, replicas: int) -> None:
        """Run so many containers of a service; what runs already is not replaced.

        The number is remembered in the project's ``.env``, where the compose file reads it; see :meth:`replicas`.
        """
        (name,) = self._chosen((service,))
        if replicas < 1:
            raise ConfigurationError(f"{name} cannot run {replicas} times", todo="stop it instead")
        self._each((name,), lambda client, one: self._scale(client, one, replicas))

    def limit(self, service: str, limits: Resources | None) -> None:
        """Remember in the project's ``.env`` what each container of a service may use."""
        (name,) = self._chosen((service,))
        if limits is not None:
            self.require_limits({name: limits})
        with self._lock("compose", 0.0):
            compose_variables.write(self._project.env_file, compose_variables.as_variables(name, limits))

    def limits(self, service: str) -> Resources | None:
        """What the project's ``.env`` says of it; ``None``: what the compose file says holds."""
        (name,) = self._chosen((service,))
        return compose_variables.limits_of(self._project, name)

    def exec(self, service: str, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> ContainerExec:
        """Run a command in the service's first running container, with the container's environment and programs."""
        (name,) = self._chosen((service,))
        with engine(f"{name} could not be looked at") as client:
            instances = self._of(client, name)
        running = next((one for one in instances if one.status == "running"), None)
        if running is None:
            raise self._with_log(name, self._not_running(name, instances))
        return ContainerExec(name, running.id, command, dict(env or {}))

    # one service; the caller holds its lock

    def _up(self, client: Any, name: str) -> None:
        instances = self._of(client, name)
        up = sum(map(engines.is_up, instances))
        if up and up >= max(len(instances), self._wanted.get(name, 1)):
            return  # also while compose does not accept the project
        count = compose_variables.count(self._project, name, len(instances))
        if not up:
            self._make(client, name, replicas=count)
        elif up < count:
            self._make(client, name, "--no-recreate", replicas=count)

    def _scale(self, client: Any, name: str, replicas: int) -> None:
        count = compose_variables.variable(name, compose_variables.REPLICAS)
        if not compose_variables.fixed(self._project, name):
            with self._lock("compose", 0.0):
                compose_variables.write(self._project.env_file, {count: str(replicas)})
        self._make(client, name, "--no-recreate", replicas=replicas)
        if balancer := self._balancer(name):
            self._up(client, balancer)

    def _stop(self, client: Any, name: str) -> None:
        for one in self._of(client, name):
            engines.stop(one, self._grace(name))

    def _pause(self, client: Any, name: str) -> None:
        for one in self._living(client, name):
            if one.status == "running":
                one.pause()

    def _unpause(self, client: Any, name: str) -> None:
        for one in self._living(client, name):
            if one.status == "paused":
                one.unpause()

    def _restart(self, client: Any, name: str) -> None:
        instances = self._of(client, name)
        for one in instances:
            engines.stop(one, self._grace(name))
            one.start()
        if not instances:
            self._make(client, name)

    def _recreate(self, client: Any, name: str) -> None:
        instances = self._of(client, name)
        count = compose_variables.count(self._project, name, len(instances))  # before a stop: it may be unusable
        for one in instances:
            engines.stop(one, self._grace(name))
        self._make(client, name, "--force-recreate", replicas=count)

    def _down(self, client: Any, name: str) -> None:
        for one in self._of(client, name):
            engines.stop(one, self._grace(name))
            engines.remove(one)

    def _make(self, client: Any, name: str, *options: str, replicas: int = 0) -> None:
        """Let compose make containers of one service alone.

        :param replicas: how many; 0: as many as the project says.
        """
        engines.require_no_stack(client, self._project.name)
        scale = ["--scale", f"{name}={replicas}"] if replicas > 1 or "--no-recreate" in options else []
        self._compose("up", "--detach", "--no-deps", *options, *scale, name, limit=_START_LIMIT)

    # shared by the verbs

    def _living(self, client: Any, name: str) -> list[Container]:
        instances = self._of(client, name)
        living = [one for one in instances if engines.is_up(one)]
        if not living:
            raise self._not_running(name, instances)
        return living

    def _not_running(self, name: str, instances: list[Container]) -> ServiceError:
        state = engines.status_of(name, instances).state
        return ServiceError(
            f"{name} is {state}, not running",
            where=f"compose project {self._project.name}",
            todo=f"start it: archon start {name}" if state != "paused" else "let it go on first",
        )

    def _compose(self, *arguments: str, limit: float) -> None:
        self._read_at = float("-inf")
        with self._lock("compose", limit) as lock:
            self._project.run(*arguments, limit=limit, inherits=lock)

    def _grace(self, name: str) -> float:
        return self._catalogue[name].stop_grace if name in self._catalogue else _GRACE

    def _with_balancers(self, services: Sequence[str]) -> list[str]:
        return [part for name in self._chosen(services) for part in self._parts(name)]

    def _each(
        self, names: Sequence[str], verb: Verb, *, backwards: bool = False, thorough: bool = False,
        balanced: bool = False,
    ) -> None:  # fmt: skip
        """Do something to services in their order; with ``balanced`` also to what balances them, after them."""
        in_phases(names, self._catalogue, lambda name: self._locked(name, verb, balanced=balanced),
                  backwards=backwards, thorough=thorough)  # fmt: skip

    def _locked(self, name: str, verb: Verb, *, balanced: bool) -> None:
        with self._lock(name, self._grace(name)):
            try:
                with engine(name) as client:
                    verb(client, name)
                    if balanced and (balancer := self._balancer(name)):
                        verb(client, balancer)
            except ServiceError as error:
                raise self._with_log(name, error) from error

    def _lock(self, name: str, limit: float) -> AbstractContextManager[int]:
        return held(self._locks / f"{self._project.name}-{name}.lock", limit + _LOCK_LIMIT, name)

    def _with_log(self, name: str, error: ServiceError) -> ServiceError:
        """The error with the service's last words; without them where the engine has nothing to tell."""
        try:
            log = self.logs(name, _LOG_LINES)
        except ArchonError as failure:
            log = f"(not to be had: {failure.what})"
        what = f"{error.what}\nlast log lines of {name}:\n{log or '(none)'}"
        return ServiceError(what, where=error.where, tried=error.tried, todo=error.todo)
