"""The ladder, rung by rung: plain values in, a decision out."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from archon_dagster.recovery.classify import classify
from archon_dagster.recovery.decision import Decision, Escalate, Recovered, Wait
from archon_dagster.recovery.findings import Findings, Proof
from archon_dagster.recovery.incident import Event, Incident, Step, open_incident
from archon_dagster.recovery.ladder import next_step
from archon_dagster.recovery.noting import waiting
from archon_dagster.recovery.policy import Policy
from archon_dagster_tests.unit.recovery.picture import (
    CANNOT_LOAD,
    CAUTIOUS,
    COLLAPSED,
    EMPTY_GRAPH,
    GARBAGE,
    OWN,
    RESTORING,
    UNREADABLE,
    at,
    picture,
)

BACKUP = "20261124T020000Z-0001"


class Case:
    """One incident as it goes on; ``now`` is in seconds since it was confirmed."""

    def __init__(self, findings: Findings, policy: Policy = CAUTIOUS, *, evidence: bool = True):
        case = classify(findings)[0]
        self.incident: Incident = open_incident(case.kind, case.roots, case.services, at(0), at(-3))
        self.policy = policy
        if evidence:
            self.does(Step(verb="evidence", services=case.services), now=0)

    def next(self, findings: Findings, now: float, recent: dict[str, int] | None = None) -> Decision:
        return next_step(self.incident, findings, self.policy, at(now), recent)

    def does(self, step: Decision, now: float, *, ok: bool = True, ends: bool = True, text: str = "") -> None:
        assert isinstance(step, Step), step
        self.incident = self.incident.with_event(Event(at=at(now), kind="started", step=step))
        if ends:
            end = Event(at=at(now), kind="finished", text=text, step=step, ok=ok, seconds=0.0)
            self.incident = self.incident.with_event(end)


def step(decision: Decision) -> tuple[str, tuple[str, ...]]:
    assert isinstance(decision, Step), decision
    return decision.verb, decision.services


def test_a_loss_is_not_over_because_the_store_could_not_be_counted() -> None:
    case = Case(picture(["memgraph"], proofs=[EMPTY_GRAPH]), RESTORING)
    assert case.incident.kind == "store_lost"
    waits = case.next(picture(uncounted={"graph": "no answer within 8 s"}), 5)
    assert isinstance(waits, Wait) and "no answer within 8 s" in waits.why and waits.until is not None
    assert isinstance(case.next(picture(uncounted={"relational": "busy"}), 6), Recovered)
    assert isinstance(case.next(picture(), 7), Recovered)


def test_a_loss_is_not_over_by_a_count_from_before_it() -> None:
    case = Case(picture(["memgraph"], proofs=[EMPTY_GRAPH]), RESTORING)
    assert isinstance(case.next(picture(counted=-20), 5), Wait)
    assert isinstance(case.next(picture(counted=4), 5), Recovered)


def test_who_was_merely_down_is_well_without_being_counted() -> None:
    case = Case(picture(["memgraph"]))
    assert isinstance(case.next(picture(uncounted={"graph": "no answer within 8 s"}), 5), Recovered)


def test_evidence_comes_before_anything_is_touched() -> None:
    case = Case(picture(["qdrant"]), evidence=False)
    assert step(case.next(picture(["qdrant"]), 0)) == ("evidence", ("qdrant",))


def test_first_a_restart_then_a_recreation_then_a_person() -> None:
    down = picture(["archon-mcp"])
    case, now = Case(down), 0.0
    for verb in ("restart", "recreate", "recreate"):
        decision = case.next(down, now)
        if isinstance(decision, Wait):
            assert decision.until is not None
            now = (decision.until - at(0)).total_seconds()
            decision = case.next(down, now)
        assert step(decision) == (verb, ("archon-mcp",))
        case.does(decision, now, ok=False)
    last = case.next(down, now + 1000)
    assert isinstance(last, Escalate) and "3 attempts did not help" in last.why
    assert last.commands == ("archon sandbox kill archon-mcp && archon sandbox start archon-mcp",)


def test_attempts_cool_down_longer_each_time() -> None:
    down = picture(["archon-mcp"])
    case = Case(down, replace(CAUTIOUS, attempts=10, longest=35.0))
    now, pauses = 0.0, []
    for _ in range(5):
        case.does(case.next(down, now), now, ok=False)
        decision = case.next(down, now)
        assert isinstance(decision, Wait) and decision.until is not None
        pauses.append((decision.until - at(now)).total_seconds())
        now += pauses[-1]
    assert pauses == [10, 20, 35, 35, 35]


def test_the_root_cause_is_restarted_and_not_who_suffers_from_it() -> None:
    both = picture(["qdrant", "archon-search"], causes={"archon-search": ("qdrant",)})
    assert step(Case(both).next(both, 0)) == ("restart", ("qdrant",))


def test_a_service_above_one_that_is_down_waits_for_it() -> None:
    """The runbook restarts applications whose database is the cause, and Intelligence before Bridge."""
    bridge = Case(picture(["archon-bridge"]))
    assert isinstance(bridge.next(picture(["archon-bridge", "memgraph"]), 0), Wait)
    assert step(bridge.next(picture(["archon-bridge"]), 0)) == ("restart", ("archon-bridge",))


WINDOW = {"qdrant": "maintenance until 04:00 (ann): disk"}


@pytest.mark.parametrize("name", ["archon-search", "archon-mcp"])
def test_a_service_above_one_in_maintenance_waits_for_it(name: str) -> None:
    """To bring it up would bring up what somebody has stopped to work on it; directly needed or not."""
    decision = Case(picture([name])).next(picture([name], unsure=WINDOW), 0)
    assert isinstance(decision, Wait) and decision.why == f"{name} needs qdrant: {WINDOW['qdrant']}"
    assert step(Case(picture(["archon-bridge"])).next(picture(["archon-bridge"], unsure=WINDOW), 0))[0] == "restart"


def test_a_restore_waits_for_a_writer_in_maintenance_because_it_would_stop_it() -> None:
    lost = picture(["postgres"], proofs=[COLLAPSED], unsure={"archon-search": "maintenance until 04:00: load test"})
    decision = Case(lost, RESTORING).next(lost, 0)
    assert isinstance(decision, Wait) and "load test" in decision.why


def test_who_was_stopped_to_make_room_holds_nothing_up() -> None:
    """A response to an emergency stops who suffers and does not matter; it must be able to end."""
    both = picture(["archon-mcp", "archon-agents"], causes={"archon-agents": ("archon-mcp",)})
    case, away = Case(both), {"archon-agents": "stopped on purpose"}
    assert step(case.next(picture(["archon-mcp"], unsure=away, stopped=away), 0)) == ("restart", ("archon-mcp",))
    assert isinstance(case.next(picture(unsure=away, stopped=away), 5), Recovered)
    assert isinstance(Case(picture(["archon-agents"])).next(picture(unsure=away, stopped=away), 5), Wait)


def test_a_service_that_keeps_failing_is_one_incident_until_it_is_calm() -> None:
    case = Case(picture(["archon-mcp"]))
    decision = case.next(picture(flapping=["archon-mcp", "postgres"]), 5)
    assert isinstance(decision, Wait) and decision.why.startswith("archon-mcp keeps failing")
    assert step(case.next(picture(["archon-mcp"], flapping=["archon-mcp"]), 6))[0] == "restart"
    assert isinstance(case.next(picture(flapping=["postgres"]), 7), Recovered)


def test_a_service_is_restarted_also_while_an_external_one_below_it_is_down() -> None:
    down = picture(["archon-intelligence", "ollama"])
    case = Case(picture(["archon-intelligence"]))
    assert step(case.next(down, 0)) == ("restart", ("archon-intelligence",))


def test_who_was_only_affected_gets_time_to_come_back_and_is_restarted_then() -> None:
    both = picture(["qdrant", "archon-search"], causes={"archon-search": ("qdrant",)})
    case = Case(both)
    case.does(case.next(both, 0), 2)
    left = picture(["archon-search"])
    assert isinstance(case.next(left, 3), Wait)
    assert step(case.next(left, 23)) == ("restart", ("archon-search",))


def test_it_is_over_when_everybody_concerned_is_well() -> None:
    case = Case(picture(["qdrant", "archon-search"], causes={"archon-search": ("qdrant",)}))
    assert isinstance(case.next(picture(), 5), Recovered)
    assert isinstance(case.next(picture(["postgres"]), 5), Recovered)  # another incident


def test_it_is_not_over_while_nothing_is_known_of_a_service() -> None:
    case = Case(picture(["qdrant"]))
    decision = case.next(picture(unsure={"qdrant": "maintenance until 04:00: disk"}), 5)
    assert isinstance(decision, Wait) and "disk" in decision.why


def test_an_external_service_is_never_acted_on() -> None:
    """Nor is anybody who suffers from it."""
    down = picture(
        ["ollama", "archon-intelligence", "archon-search"],
        causes={"archon-intelligence": ("ollama",), "archon-search": ("ollama",)},
    )
    decision = Case(down, RESTORING, evidence=False).next(down, 0)
    assert isinstance(decision, Escalate) and "somebody else" in decision.why


@pytest.mark.parametrize(
    "findings",
    [
        picture(["qdrant"], at_work="restore of 20261124T020000Z-0001"),
        picture(["qdrant"], unsure={"qdrant": "maintenance until 04:00: disk"}),
    ],
)
def test_a_restore_and_a_maintenance_window_are_left_alone(findings: Findings) -> None:
    assert isinstance(Case(picture(["qdrant"])).next(findings, 0), Wait)


def test_a_paused_automation_does_nothing_and_says_why() -> None:
    case = Case(picture(["qdrant"]), replace(RESTORING, paused="until 04:00 by ann: disk is replaced"))
    decision = case.next(picture(["qdrant"]), 0)
    assert isinstance(decision, Wait) and "disk is replaced" in decision.why
    assert isinstance(case.next(picture(), 0), Recovered)  # looking is no action


def test_switched_off_it_only_keeps_evidence_and_asks_a_person() -> None:
    case = Case(picture(["qdrant"]), replace(RESTORING, level="off"))
    decision = case.next(picture(["qdrant"]), 0)
    assert isinstance(decision, Escalate) and "ARCHON_RECOVERY" in decision.why and decision.commands


def test_an_interrupted_restore_of_somebody_else_is_finished_by_a_person() -> None:
    case = Case(picture(["archon-search"]), RESTORING)
    decision = case.next(picture(["archon-search"], interrupted="finish it: archon restore x"), 0)
    assert isinstance(decision, Escalate) and decision.commands == ("finish it: archon restore x",)


def test_an_incident_that_was_handed_over_is_left_to_the_person() -> None:
    case = Case(picture(["qdrant"]))
    case.incident = case.incident.note(at(1), "escalated", "x")
    assert isinstance(case.next(picture(["qdrant"]), 10_000), Wait)
    assert isinstance(case.next(picture(), 10_000), Recovered)


def test_too_many_actions_on_a_service_within_an_hour_are_a_persons_business() -> None:
    down = picture(["qdrant"])
    decision = Case(down).next(down, 0, {"qdrant": 20})
    assert isinstance(decision, Escalate) and "within an hour" in decision.why


# data ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("proof", [GARBAGE, EMPTY_GRAPH, COLLAPSED])
def test_without_the_policys_word_a_person_gets_the_command_to_paste(proof: Proof) -> None:
    holder = {"vectors": "qdrant", "graph": "memgraph", "relational": "postgres"}[proof.store]
    lost = picture([holder], proofs=[proof])
    case = Case(lost, CAUTIOUS)
    if proof is not COLLAPSED:
        case.does(case.next(lost, 0), 0)
    decision = case.next(lost, 0)
    assert isinstance(decision, Escalate) and proof.detail in decision.why
    what = "--collection archon_vectors" if proof is GARBAGE else f"--only {proof.store}"
    assert f"archon restore {BACKUP} --confirm RESTORE" in decision.commands[0] and what in decision.commands[0]


@pytest.mark.parametrize("level", ["off", "restart"])
@pytest.mark.parametrize("proof", [EMPTY_GRAPH, GARBAGE, UNREADABLE])
def test_what_may_be_all_that_is_left_is_copied_whatever_the_policy(
    proof: Proof, level: Literal["off", "restart"]
) -> None:
    holder = "memgraph" if proof.store == "graph" else "qdrant"
    lost = picture([holder], proofs=[proof])
    case = Case(lost, replace(CAUTIOUS, level=level))
    copy = case.next(lost, 0)
    assert isinstance(copy, Step) and (copy.verb, copy.services, copy.parts) == ("copy_aside", (holder,), proof.parts)
    case.does(copy, 1, text="5 bytes of /data are in /home/aside/x")
    decision = case.next(lost, 1)
    assert isinstance(decision, Escalate) and decision.commands[0].startswith("archon restore")
    assert level == "off" or "/home/aside/x" in decision.why


@pytest.mark.parametrize("level", ["off", "restart"])
@pytest.mark.parametrize("proof", [EMPTY_GRAPH, GARBAGE, CANNOT_LOAD])
def test_where_nothing_could_be_copied_a_person_is_told_that_first(
    proof: Proof, level: Literal["off", "restart"]
) -> None:
    holder = "memgraph" if proof.store == "graph" else "qdrant"
    lost = picture([holder], proofs=[proof])
    without_room, elsewhere = (Case(lost, replace(CAUTIOUS, level=level, attempts=1)) for _ in range(2))
    elsewhere.policy = replace(elsewhere.policy, files=frozenset())
    if proof is CANNOT_LOAD and level == "restart":  # its log may be old
        for case in (without_room, elsewhere):
            case.does(case.next(lost, 0), 0, ok=False)
    copy = without_room.next(lost, 1)
    assert isinstance(copy, Step) and copy.verb == "copy_aside"
    without_room.does(copy, 1, ok=False, text="5 bytes do not fit")
    for case in (without_room, elsewhere):
        decision = case.next(lost, 2)
        assert isinstance(decision, Escalate)
        assert decision.commands[0].startswith("copy ") and "archon restore" in decision.commands[-1]


def test_an_unreadable_collection_is_copied_before_it_is_restored() -> None:
    """No safety copy can be taken of what cannot be read."""
    lost = picture(["qdrant"], proofs=[UNREADABLE])
    case = Case(lost, RESTORING)
    assert step(case.next(lost, 0)) == ("copy_aside", ("qdrant",))
    case.does(case.next(lost, 0), 1, ok=False)
    for _ in range(RESTORING.attempts - 1):
        case.does(case.next(lost, 1), 1, ok=False)
    assert step(case.next(lost, 2))[0] == "restore"  # without room for it, the service is worth more


def test_a_server_that_only_does_not_answer_proves_nothing() -> None:
    down = picture(["qdrant", "memgraph", "postgres"])
    assert step(Case(down, RESTORING).next(down, 0))[0] == "restart"


def test_only_the_damaged_collection_is_restored() -> None:
    lost = picture(["qdrant"], proofs=[GARBAGE])
    decision = Case(lost, RESTORING).next(lost, 0)
    assert isinstance(decision, Step)
    assert (decision.verb, decision.store, decision.parts, decision.backup) == (
        "restore", "vectors", ("archon_vectors",), BACKUP,
    )  # fmt: skip


def test_a_person_is_given_no_more_to_restore_than_what_is_damaged() -> None:
    """To paste `--only vectors` would put the healthy collections back to the backup too."""
    proof = replace(GARBAGE, parts=("archon_vectors", "code_vectors"))
    lost = picture(["qdrant"], proofs=[proof])
    decision = Case(lost, replace(CAUTIOUS, files=frozenset())).next(lost, 0)
    assert isinstance(decision, Escalate)
    restores = [command for command in decision.commands if command.startswith("archon restore")]
    assert restores == [
        f"archon restore {BACKUP} --confirm RESTORE --collection {name}" for name in ("archon_vectors", "code_vectors")
    ]


def test_without_a_backup_a_person_is_asked() -> None:
    lost = picture(["postgres"], proofs=[COLLAPSED], backups={})
    decision = Case(lost, RESTORING).next(lost, 0)
    assert isinstance(decision, Escalate) and "no good backup" in decision.why


def test_an_empty_graph_server_is_copied_aside_and_never_restarted() -> None:
    lost = picture(["memgraph"], proofs=[EMPTY_GRAPH])
    case = Case(lost, RESTORING)
    assert step(case.next(lost, 0)) == ("copy_aside", ("memgraph",))
    case.does(case.next(lost, 0), 1)
    assert step(case.next(lost, 1)) == ("restore", ("memgraph",))


def test_an_empty_graph_server_whose_files_are_not_at_hand_is_left_to_a_person() -> None:
    lost = picture(["memgraph"], proofs=[EMPTY_GRAPH])
    decision = Case(lost, replace(RESTORING, files=frozenset())).next(lost, 0)
    assert isinstance(decision, Escalate) and "copy the data directory" in decision.commands[0]


def test_an_empty_graph_server_is_not_stopped_even_when_everything_is_down() -> None:
    everything = picture(OWN, proofs=[EMPTY_GRAPH])
    verb, services = step(Case(everything, RESTORING).next(everything, 0))
    assert verb == "start_all" and "memgraph" not in services


def test_a_collection_that_kills_its_server_is_set_aside_and_restored() -> None:
    dead = picture(["qdrant"], proofs=[CANNOT_LOAD])
    case = Case(picture(["qdrant"]), RESTORING)
    case.does(case.next(dead, 0), 1, ok=False)  # a log may be old: it is started once more
    assert step(case.next(dead, 2)) == ("set_aside", ("qdrant",))
    case.does(case.next(dead, 2), 3)
    down = picture(["qdrant"])
    assert step(case.next(down, 3)) == ("recreate", ("qdrant",))  # at once: something has changed
    case.does(case.next(down, 3), 4)
    decision = case.next(picture(), 5)  # up, and well: a small collection is missed by nobody else
    assert isinstance(decision, Step) and (decision.verb, decision.parts) == ("restore", ("quality_vectors",))
    case.does(decision, 6)
    assert isinstance(case.next(picture(), 7), Recovered)


def test_a_damaged_collection_is_only_copied_where_the_policy_does_not_allow_a_restore() -> None:
    dead = picture(["qdrant"], proofs=[CANNOT_LOAD])
    case = Case(dead, CAUTIOUS)
    assert step(case.next(dead, 0)) == ("restart", ("qdrant",))  # its log may be old
    case.does(case.next(dead, 0), 1, ok=False)
    assert step(case.next(dead, 2)) == ("copy_aside", ("qdrant",))
    case.does(case.next(dead, 2), 3)
    decision = case.next(dead, 4)
    assert isinstance(decision, Escalate) and decision.commands[0].startswith("stop qdrant, move collections/quality")
    assert "--collection quality_vectors" in decision.commands[-1]


def test_everything_down_is_started_in_order_and_what_is_lost_restored_then() -> None:
    case = Case(picture(OWN), RESTORING)
    decision = case.next(picture(OWN), 0)
    assert isinstance(decision, Step) and decision.verb == "start_all" and set(decision.services) == set(OWN)
    case.does(decision, 10)
    lost = picture(["postgres", "archon-mcp"], proofs=[COLLAPSED])
    assert step(case.next(lost, 11)) == ("restore", ("postgres",))  # while the other one cools down
    assert step(case.next(picture(["postgres"], proofs=[COLLAPSED]), 11)) == ("restore", ("postgres",))


# after a kill --------------------------------------------------------------------------------------------------------


def test_an_action_that_never_ended_counts_and_is_judged_anew() -> None:
    down = picture(["qdrant"])
    case = Case(down)
    case.does(case.next(down, 0), 0, ends=False)
    assert isinstance(case.next(down, 1), Wait)  # it may be why the process died
    assert step(case.next(down, 11)) == ("recreate", ("qdrant",))
    assert isinstance(case.next(picture(), 1), Recovered)


def test_evidence_that_was_not_finished_is_captured_again() -> None:
    case = Case(picture(["qdrant"]), evidence=False)
    case.does(case.next(picture(["qdrant"]), 0), 0, ends=False)
    assert step(case.next(picture(["qdrant"]), 1))[0] == "evidence"


def test_evidence_that_failed_is_tried_once_more_and_then_done_without() -> None:
    """A full disk must not keep a service down."""
    down = picture(["qdrant"])
    case = Case(down, evidence=False)
    for _ in range(2):
        decision = case.next(down, 0)
        assert step(decision) == ("evidence", ("qdrant",))
        case.does(decision, 0, ok=False, text="No space left on device")
    assert step(case.next(down, 1)) == ("restart", ("qdrant",))


def test_who_joins_an_incident_leaves_evidence_before_it_is_restarted() -> None:
    case = Case(picture(["qdrant"]))
    case.does(case.next(picture(["qdrant"]), 0), 1)
    case.incident = case.incident.model_copy(update={"services": ("qdrant", "archon-search")})
    left = picture(["archon-search"])
    assert isinstance(case.next(left, 2), Wait)  # it may come back by itself
    decision = case.next(left, 30)
    assert step(decision) == ("evidence", ("archon-search",))
    case.does(decision, 31)
    assert step(case.next(left, 32)) == ("restart", ("archon-search",))


def test_a_restore_of_ours_that_was_killed_is_taken_up_again() -> None:
    lost = picture(["postgres"], proofs=[COLLAPSED])
    case = Case(lost, RESTORING)
    case.does(case.next(lost, 0), 0, ends=False)
    after = picture(["postgres"], proofs=[COLLAPSED], interrupted="finish it: archon restore x")
    assert step(case.next(after, 11)) == ("restore", ("postgres",))


def test_a_repository_that_does_not_answer_is_waited_for_and_not_taken_for_one_without_backups() -> None:
    lost = replace(picture(["postgres"], proofs=[COLLAPSED], backups={}), backups_known=False)
    case = Case(lost, RESTORING)
    for now in (5_000, 5_599):  # it was lost long before; what counts is how long the repository is silent
        decision = case.next(replace(lost, at=at(now)), now)
        assert isinstance(decision, Wait)
        case.incident = waiting(case.incident, decision, at(now))
    assert [event.text for event in case.incident.events if event.kind == "note"] == [
        "the backup repository does not answer; a person is asked after 0:10:00"
    ]
    decision = case.next(replace(lost, at=at(5_601)), 5_601)
    assert isinstance(decision, Escalate) and "does not answer" in decision.why
