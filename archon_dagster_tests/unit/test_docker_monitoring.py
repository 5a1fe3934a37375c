"""The files of Prometheus, Alertmanager and Grafana fit the catalogue, the metrics there are, and each other."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from archon_dagster.alerts.recovery_points import DAILY_LIMIT
from archon_dagster.metrics.serving import PORT
from archon_dagster.metrics.sources import OFTEN
from archon_dagster.platform.services import BY_NAME, CATALOGUE
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster_tests.named_tests import DOCS
from archon_dagster_tests.unit.metrics.full_home import exposition, filled, looked, names

DOCKER = Path(__file__).parents[2] / "docker"
MONITORING = DOCKER / "monitoring"
COMPOSE: dict[str, Any] = yaml.safe_load((MONITORING / "compose.yaml").read_text())
CONTROL: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
PLATFORM: dict[str, Any] = yaml.safe_load((DOCKER / "platform" / "compose.yaml").read_text())
PROMETHEUS: dict[str, Any] = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
ALERTMANAGER: dict[str, Any] = yaml.safe_load((MONITORING / "alertmanager.yml").read_text())
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "grafana" / "dashboards" / "archon.json").read_text())
RULES: list[dict[str, Any]] = [
    rule
    for file in sorted((MONITORING / "rules").glob("*.yml"))
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
JOBS: dict[str, dict[str, Any]] = {job["job_name"]: job for job in PROMETHEUS["scrape_configs"]}

# of the one Archon service that has metrics: the name is that of the platform's own source
OF_INTELLIGENCE = {f"archon_http_request_duration_seconds_{part}" for part in ("bucket", "count", "sum")}
OF_PROMETHEUS = {"up", "ALERTS"}
# not always there, so that their absence says nothing; what there is to say of it is said by the alert named
SOMETIMES = {
    "archon_service_cause": "none is to blame for another",
    "archon_backup_newest_good_timestamp_seconds": "BackupMissing",
    "archon_backup_newest_checks": "BackupMissing",
    "archon_restore_drill_passed": "RestoreNotTried",
    "archon_end_to_end_test_passed": "it could not be tested: a service is down",
    "archon_certificate_expiry_timestamp_seconds": "only where it was asked for; else ArchonMetricsStale",
}
_WORDS = {
    "and", "or", "unless", "by", "on", "without", "ignoring", "group_left", "group_right", "bool", "offset", "time",
}  # fmt: skip


def metrics_in(expression: str) -> set[str]:
    """The names of metrics in an expression of PromQL."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]", "", bare)
    bare = re.sub(r"\b(by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)", "", bare)
    found = re.findall(r"(?<![\w:.])([a-zA-Z_:][\w:]*)(?!\w|\s*\()", bare)
    return {name for name in found if name not in _WORDS}


def seconds(text: str) -> float:
    return sum(float(n) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[u] for n, u in re.findall(r"(\d+)([smhd])", text))


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Every metric that our own exposition really has, with what a server's certificate adds."""
    home = tmp_path_factory.mktemp("monitoring") / "home"
    platform = filled(home)
    looked(home, time.time(), unwell=("qdrant", "archon-search"), cause="qdrant")
    return names(exposition(platform.settings)) | {"archon_certificate_expiry_timestamp_seconds"}


@cache
def of_qdrant() -> set[str]:
    """The names in what real servers answered, of the platform's version and of a new one."""
    found: set[str] = set()
    for file in (Path(__file__).parents[1] / "data" / "qdrant").glob("v*/transcript.jsonl"):
        for line in file.read_text().splitlines():
            step = json.loads(line)
            if step["path"] == "/metrics" and step["status"] == 200:
                found |= set(re.findall(r"^# TYPE (\S+)", step["answer"]["__text__"], re.MULTILINE))
    return found


# targets


def test_targets_are_names_of_containers_on_a_network_that_prometheus_is_on() -> None:
    reachable = {"platform": set(PLATFORM["services"]), "metrics": {"metrics"}}
    networks = set(COMPOSE["services"]["prometheus"]["networks"])
    assert networks == {"monitoring", *reachable}
    for name, job in JOBS.items():
        (static,) = job["static_configs"]
        (target,) = static["targets"]
        host, _, port = target.partition(":")
        assert host in set().union(*reachable.values()), name
        assert not re.search(r"localhost|\d+\.\d+", host)
        assert int(port) == (BY_NAME[host].port if host in BY_NAME else PORT)
    (alertmanager,) = PROMETHEUS["alerting"]["alertmanagers"]
    assert alertmanager["static_configs"][0]["targets"] == ["alertmanager:9093"]
    assert COMPOSE["services"]["alertmanager"]["networks"] == ["monitoring"]


def test_the_networks_are_those_of_the_platform_and_of_the_control_plane() -> None:
    outside = {name: one["name"] for name, one in COMPOSE["networks"].items() if one.get("external")}
    assert outside["platform"] == CONTROL["networks"]["platform"]["name"]
    assert outside["metrics"] == CONTROL["networks"]["metrics"]["name"]


def test_nobody_asks_a_bolt_port_for_metrics() -> None:
    targets = [target for job in JOBS.values() for static in job["static_configs"] for target in static["targets"]]
    assert not [target for target in targets if target.endswith(f":{BY_NAME['memgraph'].port}")]
    assert not [target for target in targets if "memgraph" in target]


def test_only_what_has_metrics_is_scraped_and_everybody_is_watched(ours: set[str]) -> None:
    assert set(JOBS) == {"archon", "qdrant", "archon-intelligence"}
    assert "archon_service_state" in ours
    down = [rule["expr"] for rule in ALERTS if rule["alert"] == "ServiceDown"]
    assert len(down) == 2, "critical ones, and the others: between them every service of the catalogue"
    assert not any(f'service="{service.name}"' in expression for expression in down for service in CATALOGUE)


def test_qdrants_key_is_a_file_that_its_container_has() -> None:
    file = JOBS["qdrant"]["authorization"]["credentials_file"]
    assert Path(file).name in COMPOSE["services"]["prometheus"]["secrets"]


# rules


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_an_alert_says_how_bad_it_is_what_it_is_and_what_to_type(rule: dict[str, Any]) -> None:
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("critical", "warning", "none")
    assert rule["labels"].get("told_by", "archon") == "archon"
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert anchor == rule["alert"].lower()
    assert re.search(rf"^#+ {rule['alert']}$", (DOCS.parent / page).read_text(), re.MULTILINE)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_no_alert_is_faster_than_three_scrapes(rule: dict[str, Any]) -> None:
    assert seconds(rule["for"]) > 3 * seconds(PROMETHEUS["global"]["scrape_interval"])


def test_facts_are_read_more_often_than_they_are_scraped() -> None:
    assert seconds(PROMETHEUS["global"]["scrape_interval"]) >= OFTEN


@pytest.mark.parametrize("expression", [rule["expr"] for rule in RULES] + QUERIES)
def test_every_metric_that_is_read_exists(expression: str, ours: set[str]) -> None:
    known = ours | of_qdrant() | OF_INTELLIGENCE | OF_PROMETHEUS | RECORDED
    assert metrics_in(expression) or expression == "vector(1)"
    assert metrics_in(expression) - known == set()


def test_the_operators_page_names_every_metric(ours: set[str]) -> None:
    text = (DOCS / "monitoring.md").read_text()
    assert [name for name in sorted(ours) if not re.search(rf"\b{name}\b", text)] == []
    assert set(re.findall(r"\barchon_(?!http)[a-z_]+[a-z]", text)) - ours == set()


def test_the_metrics_of_the_runbook_do_not_exist() -> None:
    """So that the test above would notice them."""
    runbooks = {"qdrant_storage_usage_bytes", "qdrant_storage_capacity_bytes", "vector_operations_total",
                "vector_indexing_failures_total", "http_request_duration_seconds_bucket"}  # fmt: skip
    assert len(of_qdrant()) > 20
    assert not runbooks & (of_qdrant() | OF_INTELLIGENCE)
    assert metrics_in("qdrant_storage_usage_bytes / qdrant_storage_capacity_bytes > 0.8") < runbooks


def test_every_metric_of_an_alert_is_missed_when_it_is_absent() -> None:
    missed = {name for rule in ALERTS for name in metrics_in(" ".join(re.findall(r"absent\([^)]*\)", rule["expr"])))}
    needed = {name for rule in ALERTS for name in metrics_in(rule["expr"])} - RECORDED - OF_INTELLIGENCE
    assert needed - missed - set(SOMETIMES) - {"rest_responses_total"} == set()
    assert not missed & set(SOMETIMES)


@pytest.mark.parametrize("expression", [one for one in [r["expr"] for r in RULES] + QUERIES if "quantile" in one])
def test_a_quantile_is_of_all_requests_and_only_of_enough(expression: str) -> None:
    assert re.search(r"sum by \(le\b", expression)
    assert re.search(r"increase\(\w+_count\[10m\]\)\) >= 50", expression)


def test_thresholds_are_the_settings_own() -> None:
    settings: Settings = load_settings()
    disks = " ".join(rule["expr"] for rule in ALERTS if rule["alert"] == "DiskFilling")
    assert f">= {settings.maintenance_disk_critical:g}" in disks and f">= {settings.maintenance_disk_warn:g}" in disks
    assert f"{settings.maintenance_disk_days:g} * 86400" in disks
    (missing,) = [rule for rule in ALERTS if rule["alert"] == "BackupMissing"]
    assert seconds(missing["for"]) == DAILY_LIMIT


# who is told


def test_every_severity_has_a_receiver_and_the_watchdog_its_own() -> None:
    names_ = {one["name"] for one in ALERTMANAGER["receivers"]}
    route = ALERTMANAGER["route"]
    assert {route["receiver"], *(one["receiver"] for one in route["routes"])} == names_
    first = route["routes"][0]
    assert first["matchers"] == ['alertname="Watchdog"'] and seconds(first["repeat_interval"]) <= 300
    assert seconds(route["group_wait"]) >= 30 and seconds(route["repeat_interval"]) == load_settings().alert_reminder


def test_no_secret_stands_in_a_file() -> None:
    for receiver in ALERTMANAGER["receivers"]:
        for kind, integrations in receiver.items():
            for one in integrations if kind.endswith("_configs") else ():
                (file,) = [value for key, value in one.items() if key.endswith("_file")]
                assert Path(file).name in COMPOSE["services"]["alertmanager"]["secrets"]
                assert not {"url", "api_url", "routing_key"} & set(one)
    assert not [name for name in COMPOSE["services"]["grafana"]["environment"] if name.endswith("PASSWORD")]


def test_alerts_that_follow_from_a_service_name_it() -> None:
    """Without the label nothing would mute them while that service is down."""
    by_service = {"ServiceDegraded", "ServiceFlapping", "ServiceRestartedOften", "StoreNotWatched", "HighResponseTime",
                  "VectorIndexingFailed", "QdrantScrapeFailed", "QdrantMetricsAbsent", "QdrantRecoveryMode",
                  "QdrantRequestsFail", "IntelligenceScrapeFailed", "ServiceDown"}  # fmt: skip
    assert {rule["alert"] for rule in ALERTS if "cause" in rule["labels"]} == by_service
    assert {rule["labels"]["cause"] for rule in ALERTS if "cause" in rule["labels"]} - {"{{ $labels.service }}"} <= set(
        BY_NAME
    )


# the dashboard


def test_the_dashboard_is_a_file_and_no_answer_of_an_interface() -> None:
    assert "dashboard" not in DASHBOARD
    assert DASHBOARD["uid"] and DASHBOARD["schemaVersion"] >= 36 and DASHBOARD["title"]
    (source,) = yaml.safe_load((MONITORING / "grafana/provisioning/datasources/prometheus.yaml").read_text())[
        "datasources"
    ]
    (provider,) = yaml.safe_load((MONITORING / "grafana/provisioning/dashboards/archon.yaml").read_text())["providers"]
    assert source["url"] == "http://prometheus:9090" and source["type"] == "prometheus"
    inside = [volume.split(":")[1] for volume in COMPOSE["services"]["grafana"]["volumes"]]
    assert provider["options"]["path"] in inside and "/etc/grafana/provisioning" in inside
    for panel in PANELS:
        assert panel["datasource"] == {"type": "prometheus", "uid": source["uid"]}
        assert all(target["datasource"] == panel["datasource"] and target["refId"] for target in panel["targets"])


def test_every_panel_is_of_a_kind_there_is_and_has_a_place_of_its_own() -> None:
    assert {panel["type"] for panel in PANELS} == {"stat", "timeseries"}
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        mine = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert mine and not mine & taken, panel["title"]
        taken |= mine
        assert panel["fieldConfig"]["defaults"]["unit"]


def test_states_are_words_and_colours() -> None:
    (services,) = [panel for panel in PANELS if panel["title"] == "Services"]
    (mapping,) = services["fieldConfig"]["defaults"]["mappings"]
    assert {code: one["text"] for code, one in mapping["options"].items()} == {
        "0": "healthy", "1": "degraded", "2": "DOWN", "3": "maintenance", "4": "unknown",
    }  # fmt: skip
    assert mapping["options"]["2"]["color"] == "red"
    (age,) = [panel for panel in PANELS if panel["title"].startswith("Age of")]
    assert age["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"] == DAILY_LIMIT


# the containers


def test_images_are_pinned_ports_are_local_and_nothing_can_be_written_but_data() -> None:
    assert set(COMPOSE["services"]) == {"prometheus", "alertmanager", "grafana"}
    assert "version" not in COMPOSE
    for name, one in COMPOSE["services"].items():
        assert re.search(r":-[\w/]+:v?\d+\.\d+\.\d+\}$", one["image"]), name
        assert all(port.startswith("${ARCHON_BIND:-127.0.0.1}:") for port in one["ports"])
        assert one["read_only"] and one["cap_drop"] == ["ALL"] and one["security_opt"] == ["no-new-privileges:true"]
        assert one["logging"]["options"]["max-size"] and one["deploy"]["resources"]["limits"]["memory"]
        assert one["healthcheck"]["test"][0] == "CMD"
        assert all(v.endswith(":ro") or v.partition(":")[0] in COMPOSE["volumes"] for v in one["volumes"])
    used = {secret for one in COMPOSE["services"].values() for secret in one["secrets"]}
    assert used == set(COMPOSE["secrets"])


def test_the_control_planes_metrics_are_answered_on_a_network_of_their_own_and_published_nowhere() -> None:
    metrics = CONTROL["services"]["metrics"]
    assert metrics["command"][:3] == ["archon", "metrics", "serve"]
    assert metrics["networks"] == ["control", "metrics"]
    assert "ports" not in metrics and metrics["read_only"] and metrics["cap_drop"] == ["ALL"]
    assert [name for name, one in CONTROL["services"].items() if "metrics" in one.get("networks", [])] == ["metrics"]
    assert f":{PORT}/metrics" in " ".join(metrics["healthcheck"]["test"])
    assert str(PORT) not in (DOCKER / "proxy" / "web.cfg").read_text()
    assert "platform" not in metrics["networks"], "the platform is never asked"
    assert metrics["command"][-1] == "proxy:8443" and CONTROL["services"]["proxy"]["ports"][0].endswith(":8443}:8443")


def test_prepare_makes_what_is_missing_and_keeps_what_is_there(tmp_path: Path) -> None:
    docker = tmp_path / "docker" / "monitoring"
    docker.mkdir(parents=True)
    (docker / "prepare").write_bytes((MONITORING / "prepare").read_bytes())
    (docker.parent / ".env").write_text("ARCHON_GID=0\n")

    def prepare() -> str:
        command = ["sh", str(docker / "prepare")]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    assert "grafana_password" in prepare()
    made = {path.name: path.read_bytes() for path in (docker / "secrets").iterdir()}
    assert set(made) == set(COMPOSE["secrets"])
    assert len(made["grafana_password"]) > 20 and made["chat_url"] == b""
    assert prepare() == ""
    assert {path.name: path.read_bytes() for path in (docker / "secrets").iterdir()} == made
    for path in (docker / "secrets").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert (docker / ".env").read_text() == "ARCHON_GID=0\n"
