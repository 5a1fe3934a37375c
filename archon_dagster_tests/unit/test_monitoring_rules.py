"""Prometheus' and Alertmanager's own programs judge the files of the monitoring."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from archon_dagster_tests.monitoring_programs import answer
from archon_dagster_tests.unit.metrics.full_home import exposition, filled

MONITORING = Path(__file__).parents[2] / "docker" / "monitoring"
TESTS = sorted((MONITORING / "rules" / "tests").glob("*.yml"))


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The files with their secrets, as the containers have them."""
    copy = tmp_path / "monitoring"
    shutil.copytree(MONITORING, copy, ignore=shutil.ignore_patterns("secrets", "*.env"))
    (copy / "secrets").mkdir()
    for name in ("qdrant_api_key", "chat_url", "pager_key", "dead_mans_switch_url"):
        (copy / "secrets" / name).touch()
    for name in ("prometheus.yml", "alertmanager.yml"):
        file = copy / name
        file.write_text(file.read_text().replace("/run/secrets", str(copy / "secrets")))
    return copy


def test_prometheus_takes_its_configuration_and_every_rule(copied: Path) -> None:
    said = answer("promtool", "check", "config", str(copied / "prometheus.yml"))
    assert "SUCCESS: 4 rule files found" in said and "FAILED" not in said


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_the_rules_pass_their_own_tests(file: Path) -> None:
    answer("promtool", "test", "rules", str(file))


def test_every_file_of_rules_is_tested() -> None:
    tested = {one for file in TESTS for one in yaml.safe_load(file.read_text())["rule_files"]}
    assert tested == {f"../{file.name}" for file in (MONITORING / "rules").glob("*.yml")}


def test_alertmanager_takes_its_configuration(copied: Path) -> None:
    said = answer("amtool", "check-config", str(copied / "alertmanager.yml"))
    assert "4 receivers" in said and "4 inhibit rules" in said


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (["alertname=Watchdog", "severity=none"], "dead-mans-switch"),
        (["alertname=ArchonTellsItself", "severity=none"], "nobody"),
        (["alertname=ServiceDown", "severity=critical"], "pager"),
        (["alertname=ServiceDegraded", "severity=warning"], "chat"),
        (["alertname=SomethingNew"], "chat"),
    ],
)
def test_who_is_told(copied: Path, labels: list[str], receiver: str) -> None:
    said = answer("amtool", "config", "routes", "test", f"--config.file={copied / 'alertmanager.yml'}", *labels)
    assert said.strip() == receiver


def test_a_platform_that_is_well_fires_nothing(copied: Path, tmp_path: Path) -> None:
    """What the exposition of such a home really says, half an hour long, and nothing that it does not say."""
    begin = time.time()
    series = [
        {"series": f"{sample.name}{{{_labels(sample.labels)}}}", "values": _values(sample.name, sample.value, begin)}
        for family in text_string_to_metric_families(exposition(filled(tmp_path / "home").settings))
        for sample in family.samples
    ]
    jobs, of_qdrant = ("archon", "qdrant", "archon-intelligence"), ("collections_total", "app_status_recovery_mode")
    series += [{"series": f'up{{job="{job}"}}', "values": "1x120"} for job in jobs]
    series += [{"series": name, "values": "0x120"} for name in of_qdrant]
    test = {
        "rule_files": [str(file) for file in sorted((copied / "rules").glob("*.yml"))],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": series,
                "promql_expr_test": [
                    {"expr": 'count by (alertname) (ALERTS{severity!="none"})', "eval_time": at, "exp_samples": []}
                    for at in ("1m", "10m", "29m")
                ],
            }
        ],
    }
    file = tmp_path / "well.yml"
    file.write_text(yaml.safe_dump(test))
    answer("promtool", "test", "rules", str(file))


def _labels(labels: dict[str, str]) -> str:
    return ", ".join(f'{name}="{value}"' for name, value in labels.items())


def _values(name: str, value: float, begin: float) -> str:
    """promtool's clock begins at 0; what the monitor and the sources saw goes on being seen."""
    if name in ("archon_health_monitor_last_sample_timestamp_seconds", "archon_metrics_source_seen_timestamp_seconds"):
        return "0+15x120"
    if name.startswith("archon_disk_"):  # this machine's own disk may be full
        return "100x120" if name == "archon_disk_size_bytes" else "50x120"
    return f"{value - begin if name.endswith('_timestamp_seconds') else value}x120"
