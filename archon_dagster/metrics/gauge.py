"""One metric with its values in one call.

Names follow Prometheus' conventions: ``archon_`` first, base units (seconds, bytes), ``_timestamp_seconds`` for an
instant since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

L = TypeVar("L", bound=tuple[str, ...])
"""The values of the labels."""


def gauge(name: str, text: str, values: Mapping[L, float] | float, labels: Sequence[str] = ()) -> Metric:
    """A gauge; a bare number where it has no labels. :param text: the line of help."""
    family = GaugeMetricFamily(name, text, labels=labels)
    if isinstance(values, Mapping):
        for key, value in values.items():
            family.add_metric([_encodable(part) for part in key], value)
    else:
        family.add_metric([], values)
    return family


def _encodable(text: str) -> str:
    """The name of a file may hold bytes that are no text: one of them must not cost the whole answer."""
    return text.encode("utf-8", "replace").decode()
