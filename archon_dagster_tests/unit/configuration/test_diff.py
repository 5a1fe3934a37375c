"""What changes, who reads it, and what may be shown of it."""

from __future__ import annotations

from archon_dagster.configuration.diff import difference
from archon_dagster.configuration.variables import VARIABLES, is_known, readers_of
from archon_dagster.platform.services import BY_NAME
from archon_dagster_tests.unit.configuration.sample import GOOD, with_

OLD = GOOD.encode()


def test_nothing_changes_between_a_file_and_itself() -> None:
    found = difference(OLD, OLD)
    assert (found.changes, found.text_only, found.lines) == ((), False, [])


def test_remarks_and_order_concern_nobody() -> None:
    found = difference(OLD, b"# said otherwise\n" + OLD.replace(b"LOG_LEVEL=INFO", b"LOG_LEVEL='INFO'"))
    assert (found.changes, found.text_only, found.readers) == ((), True, ())


def test_who_reads_what_changed_is_replaced_in_the_order_of_the_catalogue() -> None:
    assert difference(OLD, with_("VECTOR_SEARCH_TIMEOUT=7000")).readers == ("archon-search",)
    assert difference(OLD, with_("BATCH_SIZE=10")).readers == ("archon-intelligence", "archon-search")
    changed = difference(OLD, with_("MEMGRAPH_URI=bolt://other:7687", "SUPABASE_URL=https://other.supabase.co"))
    assert changed.readers[0] == "archon-bridge"
    assert "archon-mcp" in changed.readers


def test_a_reference_that_means_something_else_is_a_change() -> None:
    old, new = (b"BASE=https://%s.example.co\n" % word + with_("SUPABASE_URL=${BASE}") for word in (b"a", b"b"))
    assert {one.key for one in difference(old, new).changes} == {"BASE", "SUPABASE_URL"}


def test_a_variable_that_nobody_knows_may_be_read_by_any_service() -> None:
    assert set(difference(OLD, with_("FEATURE_X=on")).readers) == {
        "archon-bridge", "archon-intelligence", "archon-search", "archon-mcp", "archon-agents", "archon-frontend",
    }  # fmt: skip


def test_what_the_control_plane_alone_reads_replaces_nobody() -> None:
    assert difference(OLD, with_("ARCHON_HEALTH_INTERVAL=60", "COMPOSE_PROFILES=agents")).readers == ()


def test_an_image_is_its_services_own() -> None:
    assert readers_of("SEARCH_IMAGE") == ("archon-search",)
    assert readers_of("QDRANT_IMAGE") == ("qdrant",)
    assert is_known("MCP_IMAGE") and not is_known("SOME_IMAGE")


def test_secrets_are_said_to_have_changed_and_not_how() -> None:
    new = with_("SUPABASE_SERVICE_KEY=sb_secret_other", "MY_PASSWORD=hush", "QDRANT_URL=http://me:hush@qdrant:6333")
    found = difference(OLD, new)
    assert "SUPABASE_SERVICE_KEY: changed (secret)" in found.lines
    assert "MY_PASSWORD: added, (hidden)" in found.lines
    for word in ("hush", "sb_secret"):
        assert word not in repr(found)


def test_a_file_that_is_not_there_yet() -> None:
    assert {one.how for one in difference(None, OLD).changes} == {"added"}
    assert {one.how for one in difference(OLD, None).changes} == {"removed"}


def test_every_reader_of_the_table_is_a_service_of_the_catalogue() -> None:
    for variable in VARIABLES:
        assert set(variable.readers) <= set(BY_NAME), variable.name
