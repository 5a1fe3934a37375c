"""Which settings exist, and what is refused with a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archon_dagster.errors import ConfigurationError
from archon_dagster.performance.tuning.options import QDRANT, RECOMMENDED, cautions, wanted


def test_without_a_name_the_recommended_ones_are_meant() -> None:
    assert wanted(()) == RECOMMENDED == {"indexing_threshold": 10_000, "flush_interval_sec": 5}


@pytest.mark.parametrize(
    ("pair", "why"),
    [
        ("JAVA_OPTS=-Xmx2g", "no service of this platform runs on a Java virtual machine"),
        ("JAVA_TOOL_OPTIONS=-Xms1g", "Java virtual machine"),
        ("-XX:+UseG1GC", "Java virtual machine"),
        ("max_optimization_threads=2", "could not be undone"),
        ("shared_buffers=1GB", "no service of this platform has such a setting"),
        ("indexing_threshold", "has no value"),
        ("indexing_threshold=", "no whole number"),
        ("indexing_threshold=1e4", "no whole number"),
        ("indexing_threshold=-1", "not between"),
        ("flush_interval_sec=0", "not between"),
        ("deleted_threshold=nan", "not between"),
        ("deleted_threshold=2", "not between"),
    ],
)
def test_what_does_not_exist_is_refused_with_the_reason(pair: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        wanted([pair])


def test_every_wrong_one_is_named_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"JAVA_OPTS: [\s\S]*nonsense: [\s\S]*is set twice"):
        wanted(["JAVA_OPTS=1", "nonsense=2", "flush_interval_sec=5", "flush_interval_sec=6"])


@given(st.sampled_from(list(QDRANT)), st.text(max_size=12))
def test_no_malformed_value_is_accepted(name: str, text: str) -> None:
    option = QDRANT[name]
    try:
        value = wanted([f"{name}={text}"])[name]
    except ConfigurationError:
        return
    assert option.low <= value <= option.high
    assert isinstance(value, int if option.whole else float)


def test_the_runbooks_flush_interval_is_possible_and_warned_of() -> None:
    (said,) = cautions(wanted(["flush_interval_sec=30"]))
    assert "killed" in said
    assert cautions(dict(RECOMMENDED)) == []
