"""A measurement beside the baseline, with what is known of the tuning."""

from __future__ import annotations

from dataclasses import dataclass, field

from archon_dagster.performance.comparison import Comparison
from archon_dagster.performance.history import Point
from archon_dagster.performance.measures import Measurement
from archon_dagster.performance.tuning.drift import Drift


@dataclass(frozen=True)
class Report:
    """A measurement beside the baseline.

    :param baseline: what it was compared with; ``None``: there was none.
    :param renewed: it is the baseline from now on. :param kept: why it is not, where it was to be.
    :param drifts: tuning that was undone since. :param history: the newest reports, this one last.
    """

    measurement: Measurement
    baseline: Measurement | None = None
    comparison: Comparison = field(default_factory=Comparison)
    renewed: bool = False
    kept: str = ""
    drifts: tuple[Drift, ...] = ()
    history: tuple[Point, ...] = ()

    @property
    def headline(self) -> str:
        """The whole in a sentence."""
        said = f"{self.measurement.answers:,} answers measured"
        if self.baseline is None:
            said += ", nothing to compare with yet"
        elif worse := self.comparison.worse:
            said += f", {len(worse)} numbers worse than the baseline"
        else:
            said += ", none worse than the baseline"
        if self.measurement.missing:
            said += f"; not as it should be: {len(self.measurement.missing)}"
        if self.drifts:
            said += "; the tuning does not hold"
        return said
