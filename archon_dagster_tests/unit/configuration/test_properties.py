"""No bytes make the validation fail, and no malformed value is ever accepted."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given, settings

from archon_dagster.configuration.diff import difference
from archon_dagster.configuration.validation import validate
from archon_dagster.configuration.variables import VARIABLES, Variable
from archon_dagster_tests.unit.configuration.sample import GOOD, with_

NAMES = [variable.name for variable in VARIABLES]
PIECES = st.sampled_from(
    [*NAMES, "=", "\n", "${", "}", ":-", "'", '"', "\\", "#", " ", "export ", "$", "http://", "9", "é"]
)
NUMBERS = [one for one in VARIABLES if one.kind in ("whole", "port")]
WORDS = [one for one in VARIABLES if one.kind in ("flag", "choice")]
ADDRESSES = [one for one in VARIABLES if one.kind in ("http", "bolt")]
PLAIN = st.text(
    st.characters(codec="utf-8", exclude_characters="\n\r'\"\\$#` \t", exclude_categories=("C", "Z")), min_size=1
)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_make_it_fail(content: bytes) -> None:
    found = validate(content)
    assert found.exit_code == 2  # so few bytes lack most of what is required
    assert all(one.text for one in found.problems)
    difference(content, GOOD.encode())


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=60).map("".join))
def test_no_text_made_of_its_own_pieces_makes_it_fail(text: str) -> None:
    content = text.encode()
    assert validate(content).exit_code == 2
    validate(GOOD.encode() + b"\n" + content)
    difference(GOOD.encode(), content)


def refused(variable: Variable, value: str) -> bool:
    found = validate(with_(f"{variable.name}={value}"))
    return any(one.key == variable.name for one in found.errors)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(NUMBERS), PLAIN)
def test_a_number_is_a_number_in_its_range_or_refused(variable: Variable, value: str) -> None:
    low, high = (1, 65535) if variable.kind == "port" else (variable.lowest, variable.highest)
    good = value.isascii() and value.isdigit() and len(value) < 20 and low <= int(value) <= high
    assert good or refused(variable, value)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(NUMBERS), st.integers())
def test_every_number_out_of_range_is_refused(variable: Variable, value: int) -> None:
    low, high = (1, 65535) if variable.kind == "port" else (variable.lowest, variable.highest)
    assert low <= value <= high or refused(variable, str(value))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(WORDS), PLAIN)
def test_a_word_is_one_of_its_words_or_refused(variable: Variable, value: str) -> None:
    assert value in (variable.choices or ("true", "false")) or refused(variable, value)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ADDRESSES), PLAIN)
def test_an_address_has_scheme_and_host_or_is_refused(variable: Variable, value: str) -> None:
    scheme, _, rest = value.partition("://")
    assert (scheme in ("http", "https", "bolt", "neo4j") and rest) or refused(variable, value)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(NAMES), PLAIN)
def test_a_good_value_of_one_variable_never_hides_what_is_missing(name: str, value: str) -> None:
    assert validate(f"{name}={value}\n".encode()).exit_code == 2
