"""Which settings of Qdrant's optimizers can be tuned, and what is refused with a reason instead.

Names, kinds and meanings are those of Qdrant's ``optimizers_config`` (the sizes are in kB). Settings that a collection
may have as ``null`` are left out: the server has no way back to ``null``, so they could not be undone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from archon_dagster.errors import ConfigurationError

Value = int | float


@dataclass(frozen=True, slots=True)
class Option:
    """One setting.

    :param low: and ``high``: the least and the largest value. :param recommended: part of ``archon tune qdrant``.
    """

    name: str
    about: str
    low: float
    high: float
    whole: bool = True
    recommended: Value | None = None

    def parse(self, text: str) -> Value:
        """The value; :class:`ValueError` in words where it is none."""
        number: Value
        try:
            number = int(text) if self.whole else float(text)
        except ValueError as error:
            raise ValueError(f"{self.name}: {text!r} is no {'whole number' if self.whole else 'number'}") from error
        if not self.low <= number <= self.high:
            raise ValueError(f"{self.name}: {text} is not between {self.low:g} and {self.high:g}")
        return number


QDRANT: dict[str, Option] = {
    option.name: option
    for option in (
        Option("indexing_threshold", "kB of vectors in a segment from which on it gets an index", 0, 10**9,
               recommended=10_000),
        Option("flush_interval_sec", "seconds between two flushes of the segments", 1, 300, recommended=5),
        Option("default_segment_number", "segments the optimizers aim at; 0: as many as processors", 0, 1024),
        Option("deleted_threshold", "share of deleted points from which on a segment is rewritten", 0.01, 1,
               whole=False),
        Option("vacuum_min_vector_number", "vectors a segment must have to be rewritten for that", 100, 10**9),
    )
}  # fmt: skip
RECOMMENDED: dict[str, Value] = {
    name: option.recommended for name, option in QDRANT.items() if option.recommended is not None
}
"""Qdrant's own defaults: what search's 1000 kB cost is an index built again and again while documents come in."""

_JVM = re.compile(r"(?i)(java|jvm|jdk|_java)\w*|-?X(mx|ms|x:).*")
NO_JVM = (
    "no service of this platform runs on a Java virtual machine (Qdrant is Rust, Memgraph C++, PostgreSQL C, the "
    "Archon services Python), and a variable exported in a script reaches no container; the embedded platform's graph "
    "server, which has one, takes its options from the sandbox alone"
)
_NULLABLE = ("max_segment_size", "memmap_threshold", "max_optimization_threads", "prevent_unoptimized")


def wanted(settings: Sequence[str]) -> dict[str, Value]:
    """``NAME=VALUE`` pairs as values; without any the recommended ones.

    :raises ConfigurationError: names every wrong one, and why it is refused.
    """
    found: dict[str, Value] = {}
    wrong: list[str] = []
    for pair in settings:
        name, equals, text = pair.partition("=")
        if why := refusal(name):
            wrong.append(f"{name}: {why}")
        elif not equals:
            wrong.append(f"{pair!r} has no value: write {name}=…")
        elif name in found:
            wrong.append(f"{name} is set twice")
        else:
            try:
                found[name] = QDRANT[name].parse(text)
            except ValueError as error:
                wrong.append(str(error))
    if wrong:
        raise ConfigurationError(
            f"refused, nothing was touched: {'; '.join(wrong)}",
            todo=f"settings that exist: {', '.join(QDRANT)}; archon tune docker for the Docker daemon",
        )
    return found or dict(RECOMMENDED)


def refusal(name: str) -> str:
    """Why a setting is not applied here; empty where it is."""
    if name in QDRANT:
        return ""
    if _JVM.fullmatch(name):
        return NO_JVM
    if name in _NULLABLE:
        return "a collection may have it unset, and Qdrant has no way back to unset: it could not be undone"
    return "no service of this platform has such a setting"


def cautions(values: dict[str, Value]) -> list[str]:
    """What speaks against some values, although they are possible."""
    said = []
    if values.get("flush_interval_sec", 5) > 5:
        said.append(
            f"flush_interval_sec={values['flush_interval_sec']}: up to so many seconds of writes are not in the "
            "segments when the server is killed; it replays them from its log, and starts that much slower"
        )
    if values.get("indexing_threshold") == 0:
        said.append("indexing_threshold=0: no index is built any more, every search reads every vector")
    return said
