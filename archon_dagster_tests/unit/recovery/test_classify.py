"""What kind of incident it is: proven loss, one failure, everything, or somebody else's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archon_dagster.recovery.classify import Case, classify
from archon_dagster.recovery.findings import Proof
from archon_dagster_tests.unit.recovery.picture import EMPTY_GRAPH, EVERYBODY, GARBAGE, OWN, picture


def test_nothing_wrong_is_no_incident() -> None:
    assert classify(picture()) == ()


def test_a_service_that_is_only_affected_is_no_incident_of_its_own() -> None:
    findings = picture(["qdrant", "archon-search"], causes={"archon-search": ("qdrant",)})
    assert classify(findings) == (Case("single_service", ("qdrant",), ("qdrant", "archon-search")),)


def test_two_failures_are_two_incidents_in_start_order() -> None:
    assert [case.roots for case in classify(picture(["archon-bridge", "qdrant"]))] == [("qdrant",), ("archon-bridge",)]


@pytest.mark.parametrize(
    ("proof", "kind"),
    [
        (Proof("vectors", "gone", "", ("quality_vectors",)), "store_lost"),
        (Proof("vectors", "collapsed", ""), "store_lost"),
        (Proof("vectors", "unreadable", "", ("quality_vectors",)), "store_corrupt"),
        (Proof("vectors", "cannot_load", "", ("quality_vectors",)), "store_corrupt"),
        (GARBAGE, "store_corrupt"),
    ],
)
def test_loss_and_damage_are_told_apart_by_their_proof(proof: Proof, kind: str) -> None:
    assert [case.kind for case in classify(picture(["qdrant"], proofs=[proof]))] == [kind]


def test_a_proof_about_one_store_says_nothing_about_another_service() -> None:
    kinds = {case.roots: case.kind for case in classify(picture(["qdrant", "memgraph"], proofs=[EMPTY_GRAPH]))}
    assert kinds == {("qdrant",): "single_service", ("memgraph",): "store_lost"}


def test_an_external_service_is_somebody_elses() -> None:
    findings = picture(["ollama", "archon-intelligence"], causes={"archon-intelligence": ("ollama",)})
    assert classify(findings) == (Case("external", ("ollama",), ("ollama", "archon-intelligence")),)


def test_everything_down_is_one_incident() -> None:
    (case,) = classify(picture(OWN))
    assert case.kind == "complete_failure" and set(case.services) == set(OWN)


def test_an_external_service_that_only_suffers_is_part_of_the_complete_failure() -> None:
    causes = {"supabase": ("postgres",)}
    (case,) = classify(picture([*OWN, "supabase"], causes=causes))
    assert case.kind == "complete_failure" and "supabase" in case.services and "supabase" not in case.roots
    assert {one.kind for one in classify(picture([*OWN, "supabase"]))} == {"complete_failure", "external"}


def test_everything_affected_by_one_failure_is_not_a_complete_one() -> None:
    """The runbook's script calls both the same: any HEALTHY in the text is partial, and UNHEALTHY contains it."""
    causes = {name: ("memgraph",) for name in OWN if name not in ("qdrant", "memgraph", "postgres")}
    (case,) = classify(picture(["memgraph", *causes], causes=causes))
    assert (case.kind, case.roots) == ("single_service", ("memgraph",))


def test_without_the_services_that_do_not_matter_it_is_still_complete() -> None:
    core = [name for name in OWN if name not in ("archon-agents", "archon-frontend")]
    assert [case.kind for case in classify(picture(core))] == ["complete_failure"]


@given(
    unwell=st.sets(st.sampled_from(sorted(EVERYBODY))),
    causes=st.dictionaries(
        st.sampled_from(sorted(EVERYBODY)), st.lists(st.sampled_from(sorted(EVERYBODY)), max_size=2).map(tuple)
    ),
    proofs=st.sets(st.sampled_from([EMPTY_GRAPH, GARBAGE])),
)
def test_no_root_cause_is_left_out_or_named_twice(
    unwell: set[str], causes: dict[str, tuple[str, ...]], proofs: set[Proof]
) -> None:
    findings = picture(unwell, causes=causes, proofs=proofs)
    roots = [root for case in classify(findings) for root in case.roots]
    assert len(roots) == len(set(roots))
    assert {name for name in unwell if not causes.get(name)} <= set(roots)
    assert all(case.kind != "store_lost" for case in classify(findings) if not proofs)
