"""One climb of the ladder: written down before it is done, looked at afterwards, taken up again after a kill."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from archon_dagster.errors import Cancelled, RepositoryBusy, ServiceError
from archon_dagster.recovery.actions import Result
from archon_dagster.recovery.book import Book
from archon_dagster.recovery.findings import Findings, Proof
from archon_dagster.recovery.incident import Incident, Step
from archon_dagster.recovery.noting import note
from archon_dagster.recovery.policy import Policy
from archon_dagster.recovery.recover import SERVICE_VERBS, Recovery, recover, respond
from archon_dagster_tests.unit.recovery.picture import CAUTIOUS, COLLAPSED, EMPTY_GRAPH, OWN, RESTORING, at, picture


class Killed(BaseException):
    """As a SIGKILL: nothing that catches exceptions sees it."""


class World:
    """A platform of which is known what is broken, and what each step does to it; with a clock of its own."""

    def __init__(self, home: Path, broken: set[str], proofs: tuple[Proof, ...] = (), policy: Policy = CAUTIOUS):
        self.book, self.broken, self.proofs, self.policy = Book(home), broken, proofs, policy
        self.seconds, self.done, self.busy = 0.0, list[str](), 0
        self.effect: Callable[[Step], Result] = self.mend
        self.unsure: Callable[[], dict[str, str]] = dict
        self.note()

    def note(self) -> None:
        note(self.book, self.look(), self.policy, self.now(), relapse=15.0)

    def now(self) -> datetime:
        return at(self.seconds)

    def look(self) -> Findings:
        self.seconds += 1
        unsure = self.unsure()
        broken = self.broken - unsure.keys()
        return picture(broken, now=self.seconds, proofs=self.proofs, unsure=unsure, stopped=unsure)

    def mend(self, step: Step) -> Result:
        if step.verb != "evidence":
            self.broken -= set(step.services)
            self.proofs = tuple(p for p in self.proofs if p.store != step.store)
        return Result(True, "mended")

    def keeps(self, step: Step) -> Result:
        return Result(step.verb in ("evidence", "copy_aside"), "1 bytes of /data are in /home/aside")

    def useless(self, step: Step) -> Result:
        return Result(step.verb == "evidence", "of no use")

    # what acts

    @contextmanager
    def hold(self, step: Step, incident: Incident) -> Iterator[str]:
        if self.busy > 0 and step.verb != "evidence":
            self.busy -= 1
            raise RepositoryBusy("the platform is in use: 'manual backup'")
        yield ""

    def do(self, step: Step, incident: Incident, findings: Findings, now: datetime) -> Result:
        assert incident.interrupted == step, "it is done before it is written down"
        self.done.append(f"{step.verb} {','.join(step.services)}")
        self.seconds += 2
        return self.effect(step)

    def check(self) -> None: ...

    def recovery(self, **changes: object) -> Recovery:
        made = Recovery(self.book, self, self.look, lambda: self.policy, self.wait, clock=self.now)
        return replace(made, **changes)  # type: ignore[arg-type]

    def wait(self, seconds: float) -> None:
        self.seconds += seconds

    @property
    def incident(self) -> Incident:
        return self.book.all()[0]

    def kinds(self) -> list[str]:
        return [event.kind for event in self.incident.events]


def test_a_restart_that_helps_ends_the_incident_with_its_times_and_a_report(tmp_path: Path) -> None:
    world = World(tmp_path, {"qdrant"})
    outcome = recover(world.recovery(), world.incident.id)
    assert outcome.how == "recovered"
    assert world.done == ["evidence qdrant", "restart qdrant"]
    assert world.kinds() == ["detected", "confirmed", *["started", "finished"] * 2, "recovered"]
    assert world.incident.seconds_to_recover == 6  # a look, two steps (evidence changes nothing to look at), a look
    report = (world.book.directory / world.incident.id / "report.md").read_text()
    assert "restart qdrant; done" in report and "met" in report


def test_what_does_not_help_is_tried_up_to_the_cap_and_then_a_person_is_asked(tmp_path: Path) -> None:
    world = World(tmp_path, {"qdrant"})
    world.effect = world.useless
    assert recover(world.recovery(), world.incident.id).how == "escalated"
    assert world.done == ["evidence qdrant", "restart qdrant", "recreate qdrant", "recreate qdrant"]
    report = (world.book.directory / world.incident.id / "report.md").read_text()
    assert "## What to do now" in report and "archon sandbox start qdrant" in report


@pytest.mark.parametrize("victim", ["evidence", "restart", "recreate"])
def test_a_kill_at_any_step_is_taken_up_where_it_was(tmp_path: Path, victim: str) -> None:
    world = World(tmp_path, {"qdrant"})
    killed = []

    def until_killed(step: Step) -> Result:
        if step.verb == victim and not killed:
            killed.append(step)
            raise Killed
        return world.mend(step) if step.verb == "recreate" else world.useless(step)

    world.effect = until_killed
    with pytest.raises(Killed):
        recover(world.recovery(), world.incident.id)
    assert world.incident.interrupted == killed[0]
    world.done.clear()
    assert recover(world.recovery(), world.incident.id).how == "recovered"
    expected = {
        "evidence": ["evidence qdrant", "restart qdrant", "recreate qdrant"],
        "restart": ["recreate qdrant"],
        "recreate": ["recreate qdrant"],
    }
    assert world.done == expected[victim]


def test_an_action_that_raises_is_an_attempt_that_failed(tmp_path: Path) -> None:
    world = World(tmp_path, {"qdrant"})

    def raising(step: Step) -> Result:
        if step.verb == "restart":
            raise ServiceError("the runtime is on fire")
        return world.mend(step)

    world.effect = raising
    assert recover(world.recovery(), world.incident.id).how == "recovered"
    (failed,) = [event for event in world.incident.events if event.ok is False]
    assert "on fire" in failed.text


def test_a_cancelled_action_is_written_down_as_such(tmp_path: Path) -> None:
    world = World(tmp_path, {"qdrant"})

    def cancelled(step: Step) -> Result:
        raise Cancelled("cancelled on request")

    world.effect = cancelled
    with pytest.raises(Cancelled):
        recover(world.recovery(), world.incident.id)
    assert world.incident.events[-1].ok is False and world.incident.interrupted is None


def test_a_long_cool_down_ends_the_run_and_not_the_incident(tmp_path: Path) -> None:
    world = World(tmp_path, {"qdrant"}, policy=replace(CAUTIOUS, cool_down=300.0))
    world.effect = world.useless
    outcome = recover(world.recovery(), world.incident.id)
    assert outcome.how == "waiting" and "cooling down" in outcome.why and outcome.incident.is_open
    world.seconds += 300
    world.effect = world.mend
    assert recover(world.recovery(), world.incident.id).how == "recovered"


def test_a_pause_in_the_middle_stops_the_next_action(tmp_path: Path) -> None:
    world = World(tmp_path, {"qdrant"})

    def pausing(step: Step) -> Result:
        if step.verb == "restart":
            world.policy = replace(world.policy, paused="by ann: hands off")
        return world.useless(step)

    world.effect = pausing
    outcome = recover(world.recovery(), world.incident.id)
    assert outcome.how == "waiting" and "hands off" in outcome.why
    assert world.done == ["evidence qdrant", "restart qdrant"]


def test_somebody_elses_lock_is_waited_for_and_is_no_attempt(tmp_path: Path) -> None:
    world = World(tmp_path, {"qdrant"})
    world.busy = 2
    assert recover(world.recovery(), world.incident.id).how == "recovered"
    assert world.incident.attempts == 1
    (note,) = [event.text for event in world.incident.events if event.kind == "note"]
    assert "manual backup" in note and "after 0:10:00" in note


def test_a_lock_that_is_never_given_back_is_a_persons_business(tmp_path: Path) -> None:
    world = World(tmp_path, {"qdrant"})
    world.busy = 1000
    assert recover(world.recovery(), world.incident.id).how == "waiting"
    world.seconds += 700
    outcome = recover(world.recovery(), world.incident.id)
    assert outcome.how == "escalated" and "manual backup" in outcome.why
    assert world.incident.attempts == 0


def test_a_lock_counts_from_when_it_was_met_first(tmp_path: Path) -> None:
    """The incident may have waited for hours before that: for the end of a window, or of a cool-down."""
    world = World(tmp_path, {"qdrant"})
    world.seconds += 7200
    world.busy = 2
    assert recover(world.recovery(), world.incident.id).how == "recovered"


def test_a_silent_repository_is_in_the_incident_once(tmp_path: Path) -> None:
    world = World(tmp_path, {"postgres"}, (COLLAPSED,), RESTORING)
    look = world.look
    silent = replace(world.recovery(), look=lambda: replace(look(), backups={}, backups_known=False))
    assert recover(silent, world.incident.id).how == "waiting"
    assert [event.text for event in world.incident.events if event.kind == "note"] == [
        "the backup repository does not answer; a person is asked after 0:10:00"
    ]
    world.seconds += 600
    assert recover(silent, world.incident.id).how == "escalated"


def test_every_incident_is_recovered_one_after_another(tmp_path: Path) -> None:
    world = World(tmp_path, {"archon-bridge", "qdrant"})
    first = world.book.covering("archon-bridge")
    assert first is not None
    assert [one.how for one in respond(world.recovery(), first.id)] == ["recovered", "recovered"]
    assert [what for what in world.done if "restart" in what] == ["restart archon-bridge", "restart qdrant"]


def test_what_is_another_jobs_is_left_to_it(tmp_path: Path) -> None:
    world = World(tmp_path, {"postgres"}, (COLLAPSED,), RESTORING)
    outcomes = respond(world.recovery(), world.incident.id, SERVICE_VERBS)
    assert [one.how for one in outcomes] == ["elsewhere"]
    assert world.done == ["evidence postgres"]
    assert [one.how for one in respond(world.recovery(), world.incident.id)] == ["recovered"]


def test_two_never_act_at_once(tmp_path: Path) -> None:
    world = World(tmp_path, {"qdrant"})
    with world.book.turn(), pytest.raises(ServiceError, match="another recovery"):
        respond(world.recovery(), world.incident.id)
    assert world.done == []


def test_what_fails_again_at_once_is_the_same_incident_and_its_attempts_count(tmp_path: Path) -> None:
    world = World(tmp_path, {"qdrant"})
    recover(world.recovery(), world.incident.id)
    world.broken = {"qdrant"}
    world.note()
    assert len(world.book.all()) == 1 and world.incident.state == "open"
    recover(world.recovery(), world.incident.id)
    assert world.done[2:] == ["evidence qdrant", "recreate qdrant"]


def test_what_fails_again_later_is_another_incident(tmp_path: Path) -> None:
    world = World(tmp_path, {"qdrant"})
    recover(world.recovery(), world.incident.id)
    world.seconds += 60
    world.broken = {"qdrant"}
    world.note()
    assert [one.state for one in world.book.all()] == ["open", "recovered"]


def test_what_a_person_has_mended_is_over(tmp_path: Path) -> None:
    world = World(tmp_path, {"qdrant"})
    world.effect = world.useless
    recover(world.recovery(), world.incident.id)
    world.broken = set()
    world.note()
    assert world.incident.state == "recovered"


@pytest.mark.parametrize("at_first", [{"memgraph"}, set(OWN)])
def test_what_turns_out_to_be_a_loss_after_a_person_was_asked_is_kept_and_told_anew(
    tmp_path: Path, at_first: set[str]
) -> None:
    """They bring the host up again, the graph server comes up empty, and what they were told to type overwrites it."""
    world = World(tmp_path, at_first)
    world.effect = world.useless
    recover(world.recovery(), world.incident.id)
    assert any("memgraph" in command for command in world.incident.commands)
    world.broken, world.proofs, world.effect = {"memgraph"}, (EMPTY_GRAPH,), world.keeps
    world.done.clear()
    world.note()
    assert world.incident.state == "open" and world.incident.commands == ()
    assert recover(world.recovery(), world.incident.id).how == "escalated"
    assert world.done[-1] == "copy_aside memgraph" and "restart" not in "".join(world.done)
    assert [command.split()[:2] for command in world.incident.commands] == [["archon", "restore"]]
    world.note()
    assert world.incident.state == "escalated"  # once


def test_single_failures_become_part_of_a_complete_one(tmp_path: Path) -> None:
    world = World(tmp_path, {"qdrant"})
    first = world.incident
    world.seconds += 5
    world.broken = set(OWN)
    world.note()
    assert world.book.get(first.id).state == "merged"
    (one,) = world.book.open()
    assert one.kind == "complete_failure"
    assert [o.how for o in respond(world.recovery(), one.id)] == ["recovered"]
    assert world.done[1].startswith("start_all qdrant,memgraph,postgres,archon-bridge")
    assert one.opened - at(0) < timedelta(seconds=10)


def test_what_the_monitor_saw_before_it_was_mended_opens_nothing(tmp_path: Path) -> None:
    """The monitor looks every 30 seconds, the sensor every 5: in between it still says what is no longer true."""
    world = World(tmp_path, {"qdrant"})
    before = world.look()
    recover(world.recovery(), world.incident.id)
    assert note(world.book, before, world.policy, world.now(), relapse=15.0) == []
    assert [one.state for one in world.book.all()] == ["recovered"]


@pytest.mark.parametrize(("last", "again"), [("good", False), ("bad", True)])
def test_what_the_monitor_has_seen_well_only_once_since_it_was_mended_is_no_relapse(
    tmp_path: Path, last: str, again: bool
) -> None:
    """Two good samples end a failure for the monitor; fresh probes have ended the incident before the second."""
    world = World(tmp_path, {"qdrant"})
    failure = world.look().unwell["qdrant"]
    recover(world.recovery(), world.incident.id)
    world.broken = {"qdrant"}
    later = world.look()
    seen = replace(later, unwell={"qdrant": replace(failure, mending=last == "good")})
    note(world.book, seen, world.policy, world.now(), relapse=15.0)
    assert (world.kinds()[-1] == "relapsed") is again
    assert world.incident.last_began == (world.now() if again else world.incident.opened)


def test_what_has_failed_since_it_was_mended_is_a_relapse_even_if_it_is_well_for_a_moment(tmp_path: Path) -> None:
    world = World(tmp_path, {"qdrant"})
    recover(world.recovery(), world.incident.id)
    world.broken = {"qdrant"}
    later = world.look()
    failure = replace(later.unwell["qdrant"], mending=True)
    assert world.incident.closed is not None and failure.since > world.incident.closed
    note(world.book, replace(later, unwell={"qdrant": failure}), world.policy, world.now(), relapse=15.0)
    assert world.kinds()[-1] == "relapsed"
