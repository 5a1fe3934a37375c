"""Whatever is found in whatever order: what the automation must never do."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from archon_dagster.health.root_cause import below
from archon_dagster.platform.services import BY_NAME
from archon_dagster.recovery.book import Book
from archon_dagster.recovery.findings import Findings, Proof
from archon_dagster.recovery.incident import ACTIONS, Event, Incident, Step, open_incident
from archon_dagster.recovery.noting import Standing, note, try_again
from archon_dagster.recovery.policy import Policy
from archon_dagster_tests.unit.recovery.picture import (
    BACKUPS,
    CANNOT_LOAD,
    COLLAPSED,
    EMPTY_GRAPH,
    EVERYBODY,
    GARBAGE,
    OWN,
    RESTORING,
    START,
    picture,
)

HOLDER = {"vectors": "qdrant", "graph": "memgraph", "relational": "postgres"}
NAMES = st.sampled_from(sorted(EVERYBODY))
SOME = st.sampled_from(["qdrant", "memgraph", "archon-bridge", "archon-search", "ollama"])

Ending = Literal["well", "badly", "killed"]


@dataclass(frozen=True)
class Moment:
    """What is found, so many times in a row; how the steps that follow end, and the seconds between two looks.

    :param asked: a person launches a recovery by hand.
    """

    findings: Findings
    ending: Ending
    seconds: float
    paused: bool
    times: int
    asked: bool


@st.composite
def moments(draw: st.DrawFn) -> Moment:
    unwell = set(draw(st.sets(SOME, max_size=3) | st.just(set(EVERYBODY))))
    proofs = draw(st.sets(st.sampled_from([EMPTY_GRAPH, GARBAGE, CANNOT_LOAD, COLLAPSED]), max_size=2))
    unwell |= {HOLDER[proof.store] for proof in proofs}
    held = draw(st.integers(0, 9)) == 0
    return Moment(
        picture(
            unwell,
            causes=draw(st.dictionaries(SOME, st.lists(NAMES, max_size=2).map(tuple), max_size=2)),
            proofs=proofs,
            unsure=draw(st.dictionaries(NAMES, st.just("maintenance"), max_size=1)) if held else {},
            at_work=draw(st.sampled_from(["scheduled backup", "restore of x"])) if held else "",
            interrupted=draw(st.sampled_from(["", "finish it"])) if held else "",
            backups=draw(st.sampled_from([BACKUPS, BACKUPS, BACKUPS, {}])),
        ),
        draw(st.sampled_from(["well", "badly", "killed"])),
        draw(st.sampled_from([1.0, 15.0, 60.0, 2000.0])),
        draw(st.integers(0, 9)) == 0,
        draw(st.integers(1, 8)),
        draw(st.integers(0, 9)) == 0,
    )


POLICIES = st.builds(
    lambda level, attempts, files: replace(RESTORING, level=level, attempts=attempts, files=frozenset(files)),
    st.sampled_from(["off", "restart", "restore", "restore"]),
    st.integers(1, 4),
    st.sampled_from([("qdrant", "memgraph"), ()]),
)


@settings(max_examples=100, deadline=None)
@given(story=st.lists(moments(), min_size=1, max_size=6), policy=POLICIES)
def test_whatever_the_order_of_findings(story: list[Moment], policy: Policy) -> None:
    with tempfile.TemporaryDirectory() as home:
        book, now = Book(Path(home)), START
        away = book.add(open_incident("complete_failure", OWN, OWN, now, manual=True, site="standby"))
        for moment in (moment for scene in story for moment in [scene] * scene.times):
            findings = replace(moment.findings, at=now)
            mine = replace(policy, paused="by ann" if moment.paused else "")
            _within_the_caps(book, policy)
            if moment.asked:  # the attempts begin anew
                [try_again(book, one, now) for one in book.here()]
            standing = note(book, findings, mine, now, relapse=15.0)
            _one_incident_for_each_root(book)
            doing = [one for one in standing if isinstance(one.decision, Step)]
            for one in doing[:1]:
                _allowed(one, findings, mine)
                _do(book, one, moment.ending, now)
            now += timedelta(seconds=moment.seconds)
        _within_the_caps(book, policy)
        assert book.get(away.id) == away, "what is seen here changes what is known of another site"


def _do(book: Book, standing: Standing, ending: Ending, now: object) -> None:
    assert isinstance(standing.decision, Step)
    begun = Event(at=now, kind="started", step=standing.decision)  # type: ignore[arg-type]
    book.change(standing.incident.id, lambda one: one.with_event(begun))
    if ending != "killed":
        ended = begun.model_copy(update={"kind": "finished", "ok": ending == "well", "seconds": 0.0})
        book.change(standing.incident.id, lambda one: one.with_event(ended))


def _allowed(standing: Standing, findings: Findings, policy: Policy) -> None:
    step, incident = standing.decision, standing.incident
    assert isinstance(step, Step)
    assert not policy.paused and not findings.restoring, "it acts while it must not"
    assert not incident.elsewhere, "it acts here for another site"
    assert not set(incident.roots) & findings.unsure.keys(), "it acts in maintenance"
    if step.verb == "evidence":
        return
    assert not incident.without_evidence((*incident.roots, *step.services)), f"{step.verb} before there is evidence"
    assert not any(BY_NAME[name].external for name in step.services), "it acts on an external service"
    assert policy.level != "off" or step.verb == "copy_aside"
    needed = {need for name in step.services for need in below(name)}
    assert not needed & findings.unsure.keys() or step.verb == "copy_aside", "it acts on who needs one in maintenance"
    empty = any(proof.kind == "came_up_empty" for proof in findings.proofs)
    if step.verb in ("restart", "recreate", "start_all"):
        assert not (empty and "memgraph" in step.services), "it restarts an empty graph server"
    if step.verb in ("restore", "set_aside"):
        assert policy.level == "restore", "it touches data without the policy's word"
    if step.verb == "restore":
        proven = {proof.store for proof in findings.proofs} | _aside(incident)
        assert step.store in proven, "it restores without proof"
        assert step.backup


def _aside(incident: Incident) -> set[str]:
    return {"vectors"} if incident.done("set_aside") else set()


def _within_the_caps(book: Book, policy: Policy) -> None:
    for incident in book.all():
        _within_the_cap(incident, policy)


def _within_the_cap(incident: Incident, policy: Policy) -> None:
    services: Counter[str] = Counter()
    stores: Counter[str] = Counter()
    for event in incident.begun(ACTIONS):
        assert event.step is not None
        if event.step.verb == "restore":
            stores[str(event.step.store)] += 1
        else:
            services.update(event.step.services)
    assert all(count <= policy.attempts for count in (services | stores).values())


def _one_incident_for_each_root(book: Book) -> None:
    roots = Counter(root for incident in book.here() for root in incident.roots)
    assert all(count == 1 for count in roots.values()), roots


def test_a_proof_names_its_holder() -> None:
    assert {HOLDER[proof.store] for proof in (EMPTY_GRAPH, GARBAGE, COLLAPSED)} == set(HOLDER.values())
    assert isinstance(GARBAGE, Proof)
