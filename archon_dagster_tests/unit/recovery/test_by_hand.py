"""A recovery that a person has launched: what was given up is tried again, and what is left is not called well."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from archon_dagster.recovery.by_hand import recover_by_hand
from archon_dagster.recovery.recover import SERVICE_VERBS, STORE_VERBS, recover
from archon_dagster_tests.unit.recovery.picture import CAUTIOUS, COLLAPSED, RESTORING
from archon_dagster_tests.unit.recovery.test_recover import World


def handed(world: World) -> World:
    """The same world, whose incident waits for a person."""
    assert recover(world.recovery(), world.incident.id).how == "escalated"
    world.done.clear()
    return world


@pytest.mark.parametrize("named", [True, False])
def test_a_run_by_hand_tries_again_what_was_handed_to_a_person(tmp_path: Path, named: bool) -> None:
    """A person has put the host in order, or wants it tried all the same."""
    world = World(tmp_path, {"qdrant"})
    world.effect = world.useless
    handed(world)
    (outcome,) = recover_by_hand(world.recovery(), SERVICE_VERBS, world.incident.id if named else "")
    assert outcome.how == "escalated" and "3 attempts did not help" in outcome.why
    assert world.done == ["evidence qdrant", "restart qdrant", "recreate qdrant", "recreate qdrant"]
    assert world.kinds().count("asked") == 1 and world.incident.attempts == 6
    world.effect = world.mend
    assert [one.how for one in recover_by_hand(world.recovery(), SERVICE_VERBS)] == ["recovered"]


def test_a_loss_is_restored_by_hand_once_the_policy_allows_it(tmp_path: Path) -> None:
    world = handed(World(tmp_path, {"postgres"}, (COLLAPSED,), CAUTIOUS))
    (outcome,) = recover_by_hand(world.recovery(), STORE_VERBS)
    assert outcome.how == "escalated" and outcome.incident.commands
    world.policy = RESTORING
    assert [one.how for one in recover_by_hand(world.recovery(), STORE_VERBS)] == ["recovered"]
    assert world.done[-1] == "restore postgres"


def test_what_is_open_again_has_no_commands_that_nobody_should_type(tmp_path: Path) -> None:
    world = World(tmp_path, {"qdrant"})
    world.effect = world.useless
    assert handed(world).incident.commands
    world.policy = replace(world.policy, paused="by ann: hands off")
    (outcome,) = recover_by_hand(world.recovery())
    assert outcome.how == "waiting" and "hands off" in outcome.why
    assert world.incident.state == "open" and world.incident.commands == () and world.done == []


def test_what_is_left_besides_is_named(tmp_path: Path) -> None:
    """Also what nothing can be done about here, and what is another job's."""
    world = World(tmp_path, {"qdrant", "postgres", "ollama"}, (COLLAPSED,), RESTORING)
    outcomes = recover_by_hand(world.recovery(), SERVICE_VERBS)
    assert {one.incident.roots: one.how for one in outcomes} == {
        ("qdrant",): "recovered", ("postgres",): "elsewhere", ("ollama",): "escalated",
    }  # fmt: skip


def test_where_nothing_is_broken_nothing_is_done(tmp_path: Path) -> None:
    world = World(tmp_path, set())
    assert recover_by_hand(world.recovery()) == [] and world.done == []
