"""Switches in the place of containers, and what an engine knows of their images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from archon_dagster.errors import ServiceError
from archon_dagster.platform.runtime.process_exec import ProcessExec
from archon_dagster.platform.runtime.protocol import Exec, Runtime
from archon_dagster_tests.unit.platform_double import Platform, SwitchRuntime

SERVICES = ("web", "worker")  # outside of the catalogue: healthy is what runs


class Containers(SwitchRuntime):
    """Containers made from names that stand for images; an image named ``bad`` does not stay up."""

    kind = "compose"  # type: ignore[assignment]

    def __init__(self, services: Sequence[str] = SERVICES) -> None:
        super().__init__(services)
        self.names = dict.fromkeys((f"{name}:1" for name in services), "old")
        self.made = dict.fromkeys(services, "old")
        self.balancers: dict[str, str] = {}
        self.environments: dict[str, Mapping[str, str]] = {}
        """What a command finds inside a container of an image; without one nothing can be run there."""

    def recreate(self, *services: str) -> None:
        assert set(services) <= set(self.services()), f"no such service here: {services}"
        for name in services:
            made = [name, *(one for one, balanced in self.balancers.items() if balanced == name)]
            self.made |= {one: self.names[f"{one}:1"] for one in made}
            bad = any(self.made[one] == "bad" for one in made)
            self._set("recreate", [name], "exited" if bad else "running")

    def balance(self, service: str) -> None:
        """Put a container in front of a service that is no service of its own."""
        self.balancers["balancer"] = service
        self.names["balancer:1"] = self.made["balancer"] = "old"

    def exec(self, service: str, command: Sequence[str], *, env: Any = None) -> Exec:
        if self.made[service] not in self.environments:
            raise ServiceError(f"{service} has no shell")
        return ProcessExec(service, command, self.environments[self.made[service]], Path.cwd())

    # what the engine knows

    def used(self) -> dict[str, tuple[str, str]]:
        return {name: (f"{name}:1", image) for name, image in self.made.items()}

    def parts(self) -> dict[str, str]:
        return self.balancers

    def stands_for(self, reference: str) -> str | None:
        return self.names.get(reference)

    def put_back(self, reference: str, image: str) -> None:
        self.names[reference] = image


def on_containers(platform: Platform, services: Sequence[str] = SERVICES) -> Platform:
    """The small platform with containers in the place of its switches."""
    object.__setattr__(platform.context, "runtime", Containers(services))
    object.__setattr__(platform.context, "settings", platform.settings.model_copy(update={"quiesce": "none"}))
    return platform


def containers(platform: Platform) -> Containers:
    return cast(Containers, platform.context.runtime)


def fetch(**images: str) -> Any:
    def fetched(runtime: Runtime) -> None:
        cast(Containers, runtime).names |= {f"{name}:1": image for name, image in images.items()}

    return fetched
