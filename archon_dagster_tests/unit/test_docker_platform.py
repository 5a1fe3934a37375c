"""The platform's compose file says what the catalogue says; no engine is needed to see that."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from archon_dagster.platform.limits import Resources
from archon_dagster.platform.runtime.compose_engine import BALANCES
from archon_dagster.platform.runtime.compose_variables import as_variables
from archon_dagster.platform.services import CATALOGUE, Service
from archon_dagster.platform.settings import Settings

PLATFORM = Path(__file__).parents[2] / "docker" / "platform"
OURS = [service for service in CATALOGUE if not service.external]
DEFAULT = re.compile(r"\$\{(\w+):-([^}]*)\}")


def services(file: str = "compose.yaml") -> dict[str, Any]:
    """Those of the file, with a balancer's port where the service is that it has it for."""
    found: dict[str, Any] = yaml.safe_load((PLATFORM / file).read_text())["services"]
    for name in [name for name, one in found.items() if BALANCES in one.get("labels", {})]:
        balancer = found.pop(name)
        found[balancer["labels"][BALANCES]]["ports"] = balancer["ports"]
    return found


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def test_it_has_exactly_the_services_of_the_catalogue() -> None:
    assert set(services()) == {service.name for service in OURS}


@pytest.mark.parametrize("service", OURS, ids=lambda one: one.name)
def test_budgets_are_the_catalogues(service: Service) -> None:
    written = services()[service.name]
    assert seconds(written["healthcheck"]["start_period"]) == service.start_budget
    assert seconds(written["stop_grace_period"]) == service.stop_grace


@pytest.mark.parametrize("service", OURS, ids=lambda one: one.name)
def test_the_port_is_the_catalogues_on_the_loopback_interface_and_named_by_its_setting(service: Service) -> None:
    (port,) = services()[service.name]["ports"]
    assert DEFAULT.sub(r"\2", port) == f"127.0.0.1:{service.port}:{service.port}"
    variable = DEFAULT.findall(port)[1][0]
    if not service.address_setting.endswith(("_URL", "_URI")):
        assert variable == service.address_setting
        assert variable in {field.alias for field in Settings.model_fields.values()}


@pytest.mark.parametrize("service", OURS, ids=lambda one: one.name)
def test_it_needs_what_the_catalogue_says(service: Service) -> None:
    ours = {one.name for one in OURS}
    assert set(services()[service.name].get("depends_on", {})) == ours.intersection(service.depends_on)


@pytest.mark.parametrize("service", OURS, ids=lambda one: one.name)
def test_the_engine_does_not_restart_what_recovery_looks_after_and_logs_are_bounded(service: Service) -> None:
    written = services()[service.name]
    assert DEFAULT.sub(r"\2", written["restart"]) == "no"
    assert written["logging"]["options"]["max-size"]
    assert not any("curl" in part for part in written["healthcheck"]["test"])


def test_every_image_is_named_by_a_variable_and_the_stores_are_pinned() -> None:
    """A floating name would be another image after the next pull; our own are public nowhere: there is no default."""
    whole = yaml.safe_load((PLATFORM / "compose.yaml").read_text())["services"]
    for name, written in whole.items():
        ((variable, image),) = DEFAULT.findall(written["image"])
        if name.startswith("archon-"):
            own = name.removeprefix("archon-")
            assert variable == f"{own.upper()}_IMAGE"
            assert image == f"{own}-image-is-not-set.invalid/{name}"  # a host that never is one says what to set
        else:
            assert re.search(r":v?\d+\.\d+\.?\d*", image), image
    assert "latest" not in (PLATFORM / ".env.example").read_text().split("EMBEDDING_MODEL")[0]


def test_every_store_keeps_its_data_in_a_named_volume() -> None:
    whole = yaml.safe_load((PLATFORM / "compose.yaml").read_text())
    for service in OURS:
        if service.store:
            names = [volume.partition(":")[0] for volume in whole["services"][service.name]["volumes"]]
            assert set(names) <= set(whole["volumes"])
            assert names


def test_no_compose_file_has_an_obsolete_version() -> None:
    files = [*PLATFORM.glob("*.yaml"), PLATFORM.parent / "compose.yaml"]
    assert len(files) >= 4
    assert [file.name for file in files if "version" in yaml.safe_load(file.read_text())] == []


@pytest.mark.parametrize("file", ["resources-small.yaml", "resources-large.yaml"])
def test_a_resource_profile_changes_limits_of_services_there_are(file: str) -> None:
    assert set(services(file)) <= set(services())
    for written in services(file).values():
        assert set(written) <= {"deploy", "shm_size"}
        assert set(written["deploy"]["resources"]["limits"]) == {"cpus", "memory"}


def test_search_may_run_more_than_once() -> None:
    """A published port or a name of its own would belong to one container only."""
    written = yaml.safe_load((PLATFORM / "compose.yaml").read_text())["services"]
    assert not {"ports", "container_name"} & set(written["archon-search"])
    assert written["archon-search"]["deploy"]["replicas"] == "${SEARCH_REPLICAS:-1}"
    assert (PLATFORM / "search.cfg").is_file()


@pytest.mark.parametrize("file", ["compose.yaml", "resources-small.yaml", "resources-large.yaml"])
def test_what_a_resource_profile_sets_is_read_whatever_files_are_used(file: str) -> None:
    """Of every service: a custom profile may name any. What the small and the large file leave out, the first reads."""
    for service in (one for one in OURS if one.name in services(file)):
        given = services(file)[service.name]["deploy"]["resources"]
        read = [
            given[part][what] for part in ("limits", "reservations") if part in given for what in ("cpus", "memory")
        ]
        names = [DEFAULT.findall(one)[0][0] for one in read]
        assert names == list(as_variables(service.name, Resources(1.0, 2**30)))[: len(names)]
        assert len(names) == (4 if file == "compose.yaml" else 2)


def test_the_example_settings_name_no_address_of_anybody() -> None:
    text = (PLATFORM / ".env.example").read_text()
    assert not re.search(r"\b(10|192\.168|172\.(1[6-9]|2\d|3[01]))\.\d", text)
