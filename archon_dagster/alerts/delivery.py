"""Hand one notice to one channel, or beat once; see :mod:`archon_dagster.alerts.sending` for why in another process."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from archon_dagster.alerts import rendering
from archon_dagster.alerts.alert import Notice, Severity
from archon_dagster.alerts.channels import Channel
from archon_dagster.alerts.rendering import Sender

ATTEMPT = 20.0  # seconds one attempt may take: a mail server with grey-listing answers slowly
_LONGEST_REASON = 300  # characters
_KINDS: dict[Severity, str] = {"info": "info", "warning": "warning", "critical": "failure"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt went; ``final``: another one would end the same way. No secret is in ``why``."""

    ok: bool
    why: str = ""
    final: bool = False


def deliver(channel: Channel, notice: Notice, sender: Sender, limit: float = ATTEMPT) -> Outcome:
    """Send a notice now, within ``limit`` seconds; never raises because of the channel."""
    if channel.fault:
        return Outcome(False, channel.fault, final=True)
    resolved = notice.kind == "resolved"
    order = {
        "do": "notify",
        "url": channel.url.get_secret_value(),
        "title": rendering.title(notice, sender),
        "text": rendering.text(notice, sender),
        "markdown": rendering.markdown(notice, sender),
        "kind": "success" if resolved else _KINDS[notice.alert.severity],
    }
    outcome = run(order, limit)
    return Outcome(outcome.ok, channel.scrub(outcome.why)[:_LONGEST_REASON], outcome.final)


def run(order: dict[str, Any], limit: float) -> Outcome:
    """Carry out an order in a process of its own, ended after ``limit`` seconds. What it says may hold secrets."""
    command = [sys.executable, "-m", "archon_dagster.alerts.sending"]
    try:
        done = subprocess.run(command, input=json.dumps(order), capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return Outcome(False, f"no answer within {limit:g} s")
    except OSError as error:
        return Outcome(False, f"no process could be started to send it: {error.strerror}")
    try:
        return Outcome(**json.loads(done.stdout))
    except (ValueError, TypeError):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return Outcome(False, f"the sending process ended with {done.returncode}: {last}")
