"""The baseline: what later measurements are compared with, one file in the home.

It is renewed every week by a measurement that is no worse. One that is worse does not take its place unless an operator
says so: what has become slow must not become the rule without a word.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter

from archon_dagster.context import OnNews
from archon_dagster.errors import StoreError
from archon_dagster.performance.comparison import compare
from archon_dagster.performance.history import followed
from archon_dagster.performance.measures import Measurement, Missing, Site
from archon_dagster.performance.measuring import measure, silent
from archon_dagster.performance.report import Report
from archon_dagster.performance.summary import change_text
from archon_dagster.performance.tuning import drift
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.settings import Settings
from archon_dagster.platform.whole_files import read, write

_FILE: TypeAdapter[Measurement] = TypeAdapter(Measurement)
_REPORT: TypeAdapter[Report] = TypeAdapter(Report)
ACCEPT = "archon performance --accept-baseline"


def path(home: Path) -> Path:
    """Where the baseline is."""
    return home / "performance" / "baseline.json"


def latest_path(home: Path) -> Path:
    """Where the newest report is."""
    return home / "performance" / "latest.json"


def load(home: Path) -> Measurement | None:
    """The baseline; ``None`` where there is none."""
    return read(path(home), _FILE)


def latest(home: Path) -> Report | None:
    """The newest report; ``None`` where there is none."""
    return read(latest_path(home), _REPORT)


def against_baseline(settings: Settings, measurement: Measurement) -> Report:
    """Compare, and change nothing."""
    before = load(settings.home)
    if before is None:
        return Report(measurement)
    return Report(measurement, before, compare(measurement, before, settings.performance_tolerance))


def take_report(
    settings: Settings,
    runtime: Runtime,
    cancel: threading.Event,
    report: OnNews = silent,
) -> Report:
    """Measure, compare, look at the tuning; the baseline stays as it is.

    :raises ArchonError: nothing of the platform could be measured.
    """
    measurement = measure(settings, runtime, cancel, report)
    drifts: tuple[drift.Drift, ...] = ()
    try:
        drifts = tuple(drift.look(settings, Site(settings, runtime, cancel).check))
    except StoreError as error:
        unknown = Missing(area="vectors", subject="tuning", why=f"whether it holds is not known: {error.what}")
        measurement = measurement.model_copy(update={"missing": (*measurement.missing, unknown)})
    return keep(settings, replace(remembered(settings, against_baseline(settings, measurement)), drifts=drifts))


def remembered(settings: Settings, found: Report) -> Report:
    """A new report, with what the ones before have measured."""
    before = latest(settings.home)
    return replace(found, history=followed(before.history if before else (), found.measurement))


def take_baseline(
    settings: Settings,
    runtime: Runtime,
    cancel: threading.Event,
    report: OnNews = silent,
    *,
    accept: bool = False,
) -> Report:
    """Measure, compare, and renew the baseline where that is right.

    :param accept: the operator's word that what is worse, or gone, is right.
    :raises ArchonError: nothing of the platform could be measured.
    """
    return renew(settings, take_report(settings, runtime, cancel, report), accept=accept)


def renew(settings: Settings, found: Report, *, accept: bool = False) -> Report:
    """Make a measurement the baseline, unless :func:`hindrance` says why not."""
    kept = "" if accept else hindrance(found)
    if not kept:
        write(path(settings.home), _FILE, found.measurement)
    return keep(settings, replace(found, renewed=not kept, kept=kept))


def keep(settings: Settings, found: Report) -> Report:
    """Remember the report as the latest."""
    write(latest_path(settings.home), _REPORT, found)
    return found


def hindrance(found: Report) -> str:
    """Why a measurement must not become the baseline by itself; empty where it may."""
    if found.measurement.disturbed:
        return f"this did not become the baseline: {found.measurement.disturbed} was at work meanwhile"
    if found.baseline is None:
        return ""
    if worse := found.comparison.worse:
        said = ", ".join(change_text(change) for change in worse)
        return f"the baseline was not renewed, for this would make worse numbers the rule: {said}; if right: {ACCEPT}"
    if lost := found.comparison.lost:
        return f"the baseline was not renewed, for it knows more: {', '.join(lost)}; if right: {ACCEPT}"
    return ""
