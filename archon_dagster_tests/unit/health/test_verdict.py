from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from archon_dagster.cli.health import seconds_of
from archon_dagster.cli.main import app
from archon_dagster.errors import ConfigurationError
from archon_dagster.health.evaluation import ServiceState
from archon_dagster.health.state import MonitorState
from archon_dagster.health.verdict import platform_verdict


def verdict(**services: Any) -> str:
    named = {name.replace("_", "-"): ServiceState(state=state) for name, state in services.items()}
    return platform_verdict(MonitorState(services=named))


@pytest.mark.parametrize(
    ("services", "expected"),
    [
        ({"qdrant": "healthy", "postgres": "healthy"}, "healthy"),
        ({"qdrant": "unhealthy", "postgres": "healthy"}, "down"),
        ({"qdrant": "degraded"}, "degraded"),
        ({"qdrant": "healthy", "archon_agents": "unhealthy"}, "degraded"),
        ({"qdrant": "healthy", "ollama": "unhealthy"}, "degraded"),
        ({"qdrant": "healthy", "postgres": "unknown"}, "healthy"),
        ({"qdrant": "healthy", "postgres": "maintenance"}, "healthy"),
        ({"qdrant": "unknown"}, "degraded"),
        ({}, "down"),
    ],
)
def test_the_platform_in_one_word(services: dict[str, str], expected: str) -> None:
    assert verdict(**services) == expected


def test_a_failure_that_is_not_confirmed_yet_degrades() -> None:
    doubt = ServiceState(state="healthy", pending="unhealthy", streak=1)
    assert platform_verdict(MonitorState(services={"qdrant": doubt})) == "degraded"


@pytest.mark.parametrize(
    ("text", "seconds"), [("45m", 2700), ("2h", 7200), ("1h30m", 5400), ("1.5h", 5400), ("90s", 90)]
)
def test_durations(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "2x", "2h!", "-2h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        seconds_of(text)


def test_maintenance_is_opened_listed_and_ended_from_a_shell() -> None:
    run = CliRunner()
    opened = run.invoke(app, ["health", "maintenance", "--for", "2h", "--why", "disk", "--service", "qdrant"])
    assert opened.exit_code == 0 and "qdrant: maintenance until" in opened.output and "disk" in opened.output
    assert "ended: disk" in run.invoke(app, ["health", "maintenance", "--end"]).output
    assert "no maintenance window is open" in run.invoke(app, ["health", "maintenance"]).output
