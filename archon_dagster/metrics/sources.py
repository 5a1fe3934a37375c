"""Where the metrics come from, and how often each place is looked at."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from archon_dagster.metrics.alerting import alerting
from archon_dagster.metrics.backups import backups, objectives
from archon_dagster.metrics.certificate import certificate
from archon_dagster.metrics.disks import disks
from archon_dagster.metrics.gathering import Source
from archon_dagster.metrics.health import health
from archon_dagster.metrics.incidents import incidents
from archon_dagster.platform.settings import Settings

OFTEN, SELDOM = 10.0, 120.0  # seconds: files of the home; what costs requests to a storage or a server


def sources(
    settings: Callable[[], Settings], schedules_on: Callable[[], frozenset[str]], server: str | None = None
) -> tuple[Source, ...]:
    """All of them.

    :param settings: read anew at every look, for they may be changed. :param schedules_on: the schedules that tick.
    :param server: ``host:port`` of the TLS server whose certificate is looked at, if any.
    """
    found = (
        Source("health", lambda now: health(settings(), now), OFTEN),
        Source("incidents", lambda now: incidents(settings(), now), OFTEN),
        Source("alerting", lambda now: alerting(settings(), now), OFTEN),
        Source("disks", lambda now: disks(settings(), now), OFTEN),
        Source("backups", lambda now: backups(settings(), now), SELDOM),
        Source("objectives", lambda now: objectives(schedules_on()), SELDOM),
    )
    return (*found, Source("certificate", partial(certificate, server), SELDOM)) if server else found
