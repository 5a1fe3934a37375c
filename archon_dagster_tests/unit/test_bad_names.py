"""A thing on a server may have any name; what is kept of it has one that is a safe path, and another for each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archon_dagster.repository.names import artifact_name_problem
from archon_dagster.stores.naming import artifact_name

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@pytest.mark.parametrize("name", ["archon_vectors", "a/b", "a.b", "...", ".hidden", "ünï ☃ 名前", "100%", "x" * 200])
def test_a_name_that_is_a_safe_path_stays_as_it_is(name: str) -> None:
    assert artifact_name("qdrant", name) == f"qdrant/{name}"


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("..", "%2E%2E"), (".", "%2E"), ("../../etc/passwd", "..%2F..%2Fetc%2Fpasswd"), ("/x", "%2Fx"),
        ("a//b", "a%2F%2Fb"), ("a\\b", "a%5Cb"), ("two\ttabs", "two%09tabs"), ("a\nb 5%", "a%0Ab 5%25"),
    ],
)  # fmt: skip
def test_any_other_name_is_written_so_that_a_person_still_knows_it(name: str, written: str) -> None:
    assert artifact_name("postgres", name) == f"postgres/{written}"


def test_a_name_that_is_too_long_is_cut_and_stays_unique() -> None:
    one, other = artifact_name("qdrant", "☃" * 100 + "1"), artifact_name("qdrant", "☃" * 100 + "2")
    assert one != other
    assert one.startswith("qdrant/" + "☃" * 53 + "~")


def test_a_name_that_is_taken_is_not_given_twice() -> None:
    assert artifact_name("postgres", "globals", {"postgres/globals"}) == "postgres/globals+"


@given(st.lists(ANY_TEXT, unique=True, max_size=6))
def test_whatever_things_are_called_each_has_its_own_safe_name(names: list[str]) -> None:
    written: list[str] = []
    for name in names:
        written.append(artifact_name("qdrant", name, written))
    assert len(set(written)) == len(names)
    assert [name for name in written if artifact_name_problem(name)] == []
