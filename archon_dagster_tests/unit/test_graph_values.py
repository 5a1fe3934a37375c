"""Typed values survive JSON exactly, those of real Memgraph servers included."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import pytz  # type: ignore[import-untyped]
from hypothesis import given
from neo4j.time import DateTime, Duration, Time

from archon_dagster.stores.graph.values import UnsupportedValue, decode, encode, leaves
from archon_dagster_tests.recorded import larger
from archon_dagster_tests.unit import graph_values

DATA = Path(__file__).parents[1] / "data" / "memgraph" / "v3.2.1"


def exact(value: Any) -> str:
    """A text that tells any two values apart, types and zones included."""
    if isinstance(value, list):
        return f"[{','.join(map(exact, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key!r}:{exact(item)}" for key, item in sorted(value.items())) + "}"
    if isinstance(value, float):
        return "float " + value.hex()
    srid = getattr(value, "srid", "")
    return f"{type(value).__name__} {srid} {value!r}"


@given(graph_values.values)
def test_decoding_gives_back_what_was_encoded(value: Any) -> None:
    through_json = json.loads(json.dumps(encode(value), allow_nan=False))
    assert exact(decode(through_json)) == exact(value)


@given(graph_values.values)
def test_encoding_what_was_decoded_gives_the_same_json(value: Any) -> None:
    assert encode(decode(encode(value))) == encode(value)


def test_an_integer_a_float_and_a_boolean_of_the_same_worth_stay_apart() -> None:
    values: list[Any] = [1, 1.0, True, "1", [1], -0.0, 0.0, 0, False, None, "", [], {}]
    assert len({json.dumps(encode(value)) for value in values}) == len(values)


def test_a_map_is_never_taken_for_a_tagged_value() -> None:
    lookalike = {"int": "42"}
    assert decode(encode(lookalike)) == lookalike


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 5e-324, 1.7976931348623157e308, 1e17, -0.0])
def test_every_double_survives(value: float) -> None:
    assert decode(encode(value)).hex() == value.hex()


@pytest.mark.parametrize(("standard", "offset"), [(False, "+02:00"), (True, "+01:00")])
def test_both_hours_of_an_autumn_night_stay_the_hour_they_were(standard: bool, offset: str) -> None:
    zone = pytz.timezone("Europe/Vienna")
    instant = graph_values.in_zone(DateTime(2024, 10, 27, 1 if standard else 0, 30, 0, 5), zone)
    encoded = encode(instant)
    assert encoded == {"DateTime": f"2024-10-27T02:30:00.000000005{offset}[Europe/Vienna]"}
    assert decode(encoded).utcoffset() == instant.utcoffset()


def test_the_driver_can_send_a_decoded_time_with_an_offset() -> None:
    from neo4j._codec.hydration.bolt.v1.temporal import dehydrate_time

    decoded = decode(encode(Time(12, 0, 0, 1, tzinfo=pytz.FixedOffset(-90))))
    assert dehydrate_time(decoded).fields[1] == -90 * 60  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "broken",
    [{"int": "9223372036854775808"}, {"int": "x"}, {"int": 3}, {"Date": "2024-02-30"}, {"what": 1}, {}, 7, 1.5,
     {"int": "1", "float": "1"}, {"DateTime": "2024-01-01T00:00:00.000000000+00:00[Mars/Olympus]"},
     {"Duration": ["1"]}, {"Point": []}, {"bytes": "*"}, {"LocalTime": "12:00"}],
)  # fmt: skip
def test_what_is_not_an_encoded_value_is_refused(broken: Any) -> None:
    with pytest.raises(UnsupportedValue):
        decode(broken)


@pytest.mark.parametrize("value", [2**63, object(), {1, 2}, (1,)])
def test_what_cannot_be_kept_is_refused(value: Any) -> None:
    with pytest.raises(UnsupportedValue):
        encode(value)


def test_leaves_look_into_lists_and_maps() -> None:
    found = [kind for kind, _ in leaves(encode({"a": [1, {"b": Duration(months=1)}], "c": None}))]
    assert found == ["map", "list", "int", "map", "Duration", "null"]


def from_record(value: Any) -> Any:
    """A value as the recorder wrote it (``repr`` of the driver's objects) in our encoding."""
    if isinstance(value, list):
        return [from_record(item) for item in value]
    if not isinstance(value, dict):
        return encode(value)
    if "__float" in value:
        return encode(float(value["__float"]))
    if str(value.get("__type", "")).startswith("neo4j."):
        return _from_repr(value["__type"].rpartition(".")[2], value["repr"], value["str"])
    if value.keys() == {"__type", "__value"}:
        return {"enum": value["__value"]}
    return {"map": {key: from_record(item) for key, item in value.items()}}


def _from_repr(kind: str, shown: str, text: str) -> Any:
    if kind == "Duration":
        return {"Duration": re.findall(r"=(-?\d+)", shown)}
    if kind.endswith("Point"):
        numbers = [float(part) for part in re.findall(r"-?\d+\.\d+", shown)]
        srid = {("CartesianPoint", 2): 7203, ("CartesianPoint", 3): 9157, ("WGS84Point", 2): 4326}
        return {"Point": [srid.get((kind, len(numbers)), 4979), *(number.hex() for number in numbers)]}
    zone = re.search(r"TzInfo '([^']+)'", shown)
    tag = {"Date": "Date", "Time": "LocalTime", "DateTime": "DateTime" if "tzinfo" in shown else "LocalDateTime"}[kind]
    return {tag: text + (f"[{zone[1]}]" if zone else "")}


def recorded_properties() -> list[tuple[str, Any]]:
    """Every property of the every-type graph of a real Memgraph 3.2.1."""
    answers = json.loads((DATA / "show-with-data.json").read_text())
    nodes = next(a for a in answers if a["q"] == "MATCH (n) RETURN n ORDER BY id(n)")["rows"]
    return [(key, value) for (node,) in nodes for key, value in node["props"].items()]


def test_every_value_of_a_real_memgraph_is_built_as_the_driver_built_it() -> None:
    compared = 0
    for name, recorded in recorded_properties():
        value = decode(from_record(recorded))
        if isinstance(recorded, dict) and "repr" in recorded:
            assert repr(value) == recorded["repr"], name
            compared += 1
        assert encode(value) == from_record(recorded), name
    assert compared > 20


def test_an_archon_graph_of_a_real_memgraph_decodes_to_what_was_in_it() -> None:
    with (larger() / "memgraph/v3.2.1/archon.expected.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            for value in json.loads(line)["properties"].values():
                ours = _ours(value)
                assert encode(decode(ours)) == ours


def _ours(value: Any) -> Any:
    if isinstance(value, list):
        return [_ours(item) for item in value]
    if isinstance(value, dict) and "DateTime" in value and not re.search(r"[+-]\d\d:\d\d", value["DateTime"][19:]):
        return {"LocalDateTime": value["DateTime"]}
    return value
