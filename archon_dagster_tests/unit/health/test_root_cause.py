from __future__ import annotations

from archon_dagster.health.root_cause import affected_by, explain


def test_a_dependency_that_is_down_explains_who_still_answers() -> None:
    assert explain({"qdrant": False, "archon-search": True}) == {"qdrant": (), "archon-search": ("qdrant",)}


def test_the_cause_at_the_bottom_is_named_not_the_one_in_between() -> None:
    found = explain({"memgraph": True, "archon-bridge": True, "archon-intelligence": True, "archon-mcp": True})
    assert found["archon-mcp"] == found["archon-intelligence"] == found["archon-bridge"] == ("memgraph",)
    assert found["memgraph"] == ()


def test_a_closed_port_is_a_failure_of_its_own() -> None:
    assert explain({"qdrant": False, "archon-search": False})["archon-search"] == ()


def test_what_nobody_below_explains_is_a_root_cause() -> None:
    assert explain({"archon-search": True, "postgres": False}) == {"archon-search": (), "postgres": ()}


def test_two_causes_are_both_named() -> None:
    unwell = {"qdrant": False, "ollama": False, "archon-search": True}
    assert explain(unwell)["archon-search"] == ("ollama", "qdrant")


def test_who_is_affected_is_the_other_direction() -> None:
    assert affected_by("qdrant", {"archon-search", "archon-mcp", "postgres"}) == ("archon-mcp", "archon-search")
