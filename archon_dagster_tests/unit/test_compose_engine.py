"""What the engine's words mean: whether it manages a Swarm, and what that forbids."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.runtime.compose_engine import require_no_stack

MANAGER: dict[str, Any] = {"Swarm": {"LocalNodeState": "active", "ControlAvailable": True}}
WORKER: dict[str, Any] = {"Swarm": {"LocalNodeState": "active", "ControlAvailable": False}}
ALONE: dict[str, Any] = {"Swarm": {"LocalNodeState": "inactive", "ControlAvailable": False}}
STACK = "com.docker.stack.namespace"


@dataclass
class Listed:
    """What the engine lists under its labels. :param refuses: as an engine does that is no manager."""

    labels: list[dict[str, str]] = field(default_factory=list)
    refuses: bool = False

    def list(self, *, filters: dict[str, str], **__: Any) -> list[dict[str, str]]:
        if self.refuses:
            raise AssertionError("This node is not a swarm manager")
        key, _, value = filters["label"].partition("=")
        return [one for one in self.labels if one.get(key) == value]


@dataclass
class Engine:
    """The engine's answers: about itself, its containers, and the services of its Swarm."""

    told: dict[str, Any]
    containers: Listed = field(default_factory=Listed)
    services: Listed = field(default_factory=Listed)

    def info(self) -> dict[str, Any]:
        return self.told


@pytest.mark.parametrize("told", [ALONE, WORKER, {}])
def test_an_engine_that_manages_no_swarm_is_not_asked_for_its_services(told: dict[str, Any]) -> None:
    require_no_stack(Engine(told, services=Listed(refuses=True)), "archon")


def test_a_manager_without_such_a_stack_is_fine() -> None:
    require_no_stack(Engine(MANAGER, services=Listed([{STACK: "other"}])), "archon")


def test_a_manager_knows_the_stack_whose_tasks_run_on_other_nodes() -> None:
    """No container of it is here, and compose would start every server on this node's empty volumes."""
    with pytest.raises(ConfigurationError, match=r"runs archon as a Swarm stack.*nothing was touched") as raised:
        require_no_stack(Engine(MANAGER, services=Listed([{STACK: "other"}, {STACK: "archon"}])), "archon")
    assert raised.value.where == "Swarm manager"
    assert "docker stack rm archon" in (raised.value.todo or "")


def test_a_worker_knows_the_stack_by_the_tasks_it_runs() -> None:
    stack = Engine(WORKER, containers=Listed([{STACK: "archon"}]), services=Listed(refuses=True))
    with pytest.raises(ConfigurationError) as raised:
        require_no_stack(stack, "archon")
    assert raised.value.where == "Swarm node"
