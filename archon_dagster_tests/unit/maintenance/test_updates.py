"""Security updates on switches instead of containers: recorded, backed up, replaced one by one, and put back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from archon_dagster.errors import ConfigurationError, DamagedBackup, ServiceError, StoreError
from archon_dagster.health import windows
from archon_dagster.maintenance import recorded
from archon_dagster.maintenance.updates import go_back, update
from archon_dagster.platform.runtime.protocol import Exec, Runtime
from archon_dagster_tests.unit.platform_double import Platform, SwitchRuntime, failing

SERVICES = ("web", "worker")  # outside of the catalogue: healthy is what runs


class Containers(SwitchRuntime):
    """Containers made from names that stand for images; an image named ``bad`` does not stay up."""

    kind = "compose"  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__(SERVICES)
        self.names = dict.fromkeys((f"{name}:1" for name in SERVICES), "old")
        self.made = dict.fromkeys(SERVICES, "old")
        self.balancers: dict[str, str] = {}

    def recreate(self, *services: str) -> None:
        assert set(services) <= set(SERVICES), f"no such service here: {services}"
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
        raise ServiceError(f"{service} has no pip")

    # what the engine knows

    def used(self) -> dict[str, tuple[str, str]]:
        return {name: (f"{name}:1", image) for name, image in self.made.items()}

    def parts(self) -> dict[str, str]:
        return self.balancers

    def stands_for(self, reference: str) -> str | None:
        return self.names.get(reference)

    def put_back(self, reference: str, image: str) -> None:
        self.names[reference] = image


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    platform = Platform(tmp_path)
    object.__setattr__(platform.context, "runtime", Containers())
    object.__setattr__(platform.context, "settings", platform.settings.model_copy(update={"quiesce": "none"}))
    return platform


def containers(platform: Platform) -> Containers:
    return cast(Containers, platform.context.runtime)


def fetch(**images: str) -> Any:
    def fetched(runtime: Runtime) -> None:
        cast(Containers, runtime).names |= {f"{name}:1": image for name, image in images.items()}

    return fetched


def test_only_what_has_changed_is_replaced(platform: Platform) -> None:
    engine = containers(platform)
    result = update(platform.context, engine, fetch(web="new"))
    assert (result.changed, result.unchanged) == ({"web": ("old", "new")}, ("worker",))
    assert engine.made == {"web": "new", "worker": "old"}
    assert platform.repository.resolve("latest").id == result.before.backup


def test_a_new_balancer_comes_with_the_service_that_it_is_part_of(platform: Platform) -> None:
    engine = containers(platform)
    engine.balance("web")
    result = update(platform.context, engine, fetch(balancer="new"))
    assert (result.changed, set(result.unchanged)) == ({"balancer": ("old", "new")}, set(SERVICES))
    assert engine.made == {"web": "old", "worker": "old", "balancer": "new"}
    assert go_back(platform.context, engine) == ("web",)
    assert engine.made["balancer"] == "old"


def test_a_bad_balancer_is_taken_back_with_its_service(platform: Platform) -> None:
    engine = containers(platform)
    engine.balance("web")
    result = update(platform.context, engine, fetch(balancer="bad"))
    assert (result.returned, result.why) == (("web",), "web does not run")
    assert engine.made["balancer"] == "old"
    assert engine.states["web"] == "running"


def test_the_first_failure_puts_back_everything(platform: Platform) -> None:
    engine = containers(platform)
    result = update(platform.context, engine, fetch(web="new", worker="bad"))
    with pytest.raises(ServiceError, match=r"taken back: worker does not run"):
        result.raise_for_failure()
    assert engine.made == dict.fromkeys(SERVICES, "old")
    assert set(engine.names.values()) == {"old"}
    assert set(engine.states.values()) == {"running"}
    assert windows.ad_hoc(platform.settings.home, 0.0) == []


def test_a_registry_that_does_not_answer_replaces_nothing(platform: Platform) -> None:
    def away(_: Runtime) -> None:
        raise ServiceError("docker compose pull failed")

    result = update(platform.context, containers(platform), away)
    assert (result.why, result.returned) == ("docker compose pull failed", ())
    assert ("recreate", ("web",)) not in containers(platform).done


def test_without_a_good_backup_nothing_is_fetched(platform: Platform) -> None:
    platform.stores["vectors"].fault = failing("describe")
    with pytest.raises((StoreError, DamagedBackup)):
        update(platform.context, containers(platform), fetch(web="new"))
    assert set(containers(platform).names.values()) == {"old"}


def test_a_killed_update_can_be_gone_back_from(platform: Platform) -> None:
    engine = containers(platform)
    update(platform.context, engine, fetch(web="new"))  # as if it had been killed before it could go back
    assert go_back(platform.context, engine) == ("web",)
    assert engine.made == dict.fromkeys(SERVICES, "old")
    assert recorded.images(platform.settings.home) == {"old"}


def test_local_processes_have_no_images(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no images here"):
        update(Platform(tmp_path).context)


def test_a_way_back_that_fails_too_names_both_and_the_backup(platform: Platform) -> None:
    engine = containers(platform)

    def broken(runtime: Runtime) -> None:
        fetch(web="bad")(runtime)
        engine.put_back = lambda reference, image: None  # type: ignore[method-assign]

    with pytest.raises(ServiceError, match=r"and so did the way back: web does not run[\s\S]*archon restore 2"):
        update(platform.context, engine, broken)
