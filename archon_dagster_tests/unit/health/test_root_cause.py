from __future__ import annotations

import pytest

from archon_dagster.errors import ConfigurationError
from archon_dagster.health.root_cause import explain
from archon_dagster.platform.settings import load_settings


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


def test_who_works_in_part_explains_who_works_in_part_and_nobody_who_is_down() -> None:
    unwell = {"qdrant": True, "archon-search": True}
    assert explain(unwell, in_part={"qdrant", "archon-search"})["archon-search"] == ("qdrant",)
    assert explain(unwell, in_part={"qdrant"}) == {"qdrant": (), "archon-search": ()}


def test_a_failure_is_blamed_on_the_one_below_that_is_down_past_the_one_that_works_in_part() -> None:
    unwell = {"memgraph": False, "archon-bridge": True, "qdrant": True, "archon-search": True}
    assert explain(unwell, in_part={"archon-bridge", "qdrant"})["archon-search"] == ("memgraph",)


def test_what_the_settings_say_beyond_the_catalogue_counts() -> None:
    unwell = {"postgres": False, "supabase": True, "archon-bridge": True}
    assert explain(unwell)["supabase"] == ()
    found = explain(unwell, {"supabase": ("postgres",)})
    assert found == {"postgres": (), "supabase": ("postgres",), "archon-bridge": ("postgres",)}


def test_a_circle_of_dependencies_has_an_end() -> None:
    found = explain({"supabase": True, "archon-bridge": True}, {"supabase": ("archon-bridge",)})
    assert set(found) == {"supabase", "archon-bridge"}


def test_a_dependency_is_read_from_the_text_of_an_env_file_too() -> None:
    assert load_settings(ARCHON_HEALTH_DEPENDS='{"supabase": ["postgres"]}').health_depends == {
        "supabase": ("postgres",)
    }


@pytest.mark.parametrize("text", ["postgres", "[1", '{"supabase": "postgres"}'])
def test_a_text_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="ARCHON_HEALTH_DEPENDS"):
        load_settings(ARCHON_HEALTH_DEPENDS=text)


def test_a_dependency_on_nobody_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no such service: postgre;"):
        load_settings(ARCHON_HEALTH_DEPENDS={"supabase": ["postgre"]})
