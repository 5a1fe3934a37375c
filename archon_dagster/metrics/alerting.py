"""Whether the control plane tells people itself, and whether that works.

Prometheus must know it: what arrives by one way is not told by the other one too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

from prometheus_client import Metric

from archon_dagster.alerts.alert import SEVERITIES
from archon_dagster.alerts.alerting import troubles
from archon_dagster.alerts.channels import channels_of
from archon_dagster.alerts.record import RecordFile
from archon_dagster.metrics.gauge import gauge
from archon_dagster.platform.settings import Settings


def alerting(settings: Settings, now: float) -> Iterator[Metric]:
    """Of the channels in the settings and the record of what was told."""
    channels = channels_of(settings.alert_urls)
    wrong = troubles(RecordFile(settings.home).read(), channels, datetime.fromtimestamp(now, UTC))
    usable = Counter(channel.least for channel in channels if not channel.fault)
    yield gauge(
        "archon_alert_channels",
        "Channels (ARCHON_ALERT_URLS) that can be used, by the least severity that they hear.",
        {(severity,): usable[severity] for severity in SEVERITIES},
        ("least",),
    )
    yield gauge(
        "archon_alert_troubles",
        "What is wrong with alerting itself: notices that do not arrive, unusable channels, a heartbeat not answered.",
        len(wrong),
    )
