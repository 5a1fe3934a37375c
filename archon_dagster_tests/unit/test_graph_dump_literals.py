"""The grammar of a dump's values: what Memgraph prints is read as what it was, but for what printing loses."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from neo4j.time import DateTime, Duration, Time

from archon_dagster.stores.graph.dump.literals import Literals
from archon_dagster.stores.graph.dump.model import NotUnderstood
from archon_dagster.stores.graph.values import decode, encode
from archon_dagster_tests.unit.dump_printer import after_a_dump, printed, printed_name
from archon_dagster_tests.unit.graph_values import (
    FLOATS,
    INT64,
    TEXT,
    dates,
    datetimes,
    local_datetimes,
    local_times,
    points,
)  # fmt: skip

ENUMS = frozenset({"Status::Good", "Status::Bad one", "Odd, kind::a]b}", "inf::x", "true::y"})


def in_microseconds(value: Any) -> Any:
    """As Memgraph keeps it."""
    if isinstance(value, (DateTime, Time)):
        return value.replace(nanosecond=value.nanosecond // 1000 * 1000)
    return value


durations = st.integers(-(10**15), 10**15).map(
    lambda us: Duration(
        days=int(us / 86_400_000_000), seconds=int(math.fmod(us, 86_400_000_000)) // 10**6
        if us >= 0 else -(int(-math.fmod(us, 86_400_000_000)) // 10**6),
        nanoseconds=int(math.copysign(abs(us) % 10**6, us)) * 1000,
    )
)  # fmt: skip


def has_whole_minutes(value: DateTime) -> bool:
    """As every offset has that a driver can send."""
    offset = value.utcoffset()
    return offset is not None and not offset.total_seconds() % 60


whole_minutes: st.SearchStrategy[DateTime] = datetimes.filter(has_whole_minutes)
scalars = st.one_of(
    st.none(), st.booleans(), INT64, FLOATS, TEXT, dates, local_times.map(in_microseconds),
    local_datetimes.map(in_microseconds), whole_minutes.map(in_microseconds), durations,
    points.filter(lambda point: point.srid in (7203, 9157, 4326, 4979)),
    st.sampled_from(sorted(ENUMS)).map(lambda name: {"__type": "mg_enum", "__value": name}),
)  # fmt: skip
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)


def read(text: str) -> Any:
    at = Literals(f"{text}}}", enums=ENUMS)
    value = at.value()
    assert at.skip() == "}", "something was left over"
    return value


@given(values)
@example(-0.0)
@example(1e17)
@example(-math.inf)
@example(-(2**63))
@example("a\0b")
@example("\x1b\u2028😀")
def test_what_memgraph_prints_is_read_as_what_it_was(value: Any) -> None:
    assert read(printed(value)) == encode(after_a_dump(value))


@given(values)
def test_what_was_read_is_a_value_an_export_can_hold(value: Any) -> None:
    decode(read(printed(value)))


@given(TEXT)
def test_any_name_is_read_back(name: str) -> None:
    at = Literals(printed_name(name))
    assert at.name() == name
    assert at.skip() == ""


@given(values, st.data())
def test_a_value_that_is_cut_off_is_an_error_and_never_hangs(value: Any, data: st.DataObject) -> None:
    text = printed(value)
    cut = text[: data.draw(st.integers(0, len(text)))]
    try:
        Literals(cut, enums=ENUMS).value()
    except NotUnderstood:
        return


@pytest.mark.parametrize(("text", "number"), [
    ("1e+17", {"float": (1e17).hex()}), ("1e17", {"float": (1e17).hex()}), ("-nan", {"float": "nan"}),
    ("nan", {"float": "nan"}), ("inf", {"float": "inf"}), ("-inf", {"float": "-inf"}),
    ("-9223372036854775808", {"int": "-9223372036854775808"}), ("-0", {"float": "-0x0.0p+0"}),
    ("1", {"int": "1"}), ("1.", {"float": "0x1.0000000000000p+0"}),
])  # fmt: skip
def test_numbers_that_memgraph_itself_cannot_read_back_are_read(text: str, number: Any) -> None:
    assert read(text) == number


def test_an_enum_value_with_blanks_and_brackets_is_told_by_the_enums_of_the_dump() -> None:
    assert read("Status::Bad one") == {"enum": "Status::Bad one"}
    assert read("[Odd, kind::a]b}, 1]") == [{"enum": "Odd, kind::a]b}"}, {"int": "1"}]


def test_an_enum_value_of_an_unknown_enum_ends_at_a_comma_or_bracket() -> None:
    assert read("[Level::very high, 1]") == [{"enum": "Level::very high"}, {"int": "1"}]


@pytest.mark.parametrize(("text", "plain"), [
    (r'"\u0000"', "\0"), (r'"\uD83D\uDE00"', "😀"), (r'"\U0001F600"', "😀"), (r"'it\'s'", "it's"), (r'"\`"', "`"),
])  # fmt: skip
def test_every_escape_memgraph_knows_is_undone(text: str, plain: str) -> None:
    assert read(text) == plain


@pytest.mark.parametrize(("text", "reason"), [
    ("9223372036854775808", "64 bits"), ("1e400", "double"),
    (r'"\q"', "escape"), (r'"\uD83D"', "pair"), (r'"\U00110000"', "character"),
    ('DATE("2024-13-01")', "date"), ('DATE("24-1-1")', "date"), ('LOCALTIME("25:00:00.000000")', "time"),
    ('DATETIME("2024-01-01T00:00:00.000000")', "offset"), ('DURATION("1 day")', "duration"),
    ('DURATION("P999999999999D")', "longer"), ('DATETIME("2024-01-01T00:00:00+01:00[Europe/Atlantis]")', "no datetime"),
    ('DATETIME("0001-01-01T00:00:00+01:05[Europe/Vienna]")', "no datetime"), ('NOW("x")', "NOW"),
    ('DATETIME("2024-01-01T00:00:00+99:99")', "no datetime"),
    ("POINT({ x:1, y:2, srid: 9157 })", "reference system"), ("POINT({ x:true, y:2, srid: 4326 })", "coordinate"),
    ("name", "value"), ("{`a`: 1, `a`: 2}", "twice"), ("[1 2]", "','"), ("{`a` 1}", "':'"), ("{1: 1}", "name"),
    ("[" * 500, "deep"), ("{`a`: " * 500, "deep"),
])  # fmt: skip
def test_what_is_no_value_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(NotUnderstood, match=reason):
        read(text)


def test_a_duration_has_days_and_a_rest_of_the_same_sign() -> None:
    assert read('DURATION("P-1DT0H0M-0.000005S")') == {"Duration": ["0", "-1", "0", "-5000"]}
    assert read('DURATION("P0DT-26H0M0.000000S")') == {"Duration": ["0", "-1", "-7200", "0"]}
    assert read('DURATION("P1DT-1H")') == {"Duration": ["0", "0", "82800", "0"]}


def test_a_bare_offset_of_zero_is_what_the_driver_makes_of_it() -> None:
    assert read('DATETIME("2024-02-29T00:00:00.000000+00:00")') == {
        "DateTime": "2024-02-29T00:00:00.000000000+00:00[UTC]"
    }
