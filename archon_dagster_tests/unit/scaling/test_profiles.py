"""Resource profiles: the runbook's numbers, nothing unknown, nothing the host cannot carry."""

from __future__ import annotations

import random
from typing import Any

import pytest

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.limits import Host, Resources, size, size_text
from archon_dagster.scaling.profiles import PROFILES, profile, require_host

GIB = 2**30


@pytest.mark.parametrize(
    ("name", "cpus", "memory", "reserved"),
    [("development", "1", "2G", "512M"), ("staging", "2", "4G", "1G"), ("production", "4", "8G", "2G")],
)
def test_a_named_profile_has_the_numbers_of_the_runbook(name: str, cpus: str, memory: str, reserved: str) -> None:
    services = profile(name).services
    own = {"limits": {"cpus": cpus, "memory": memory}, "reservations": {"cpus": "0.5", "memory": reserved}}
    qdrant = {"limits": {"cpus": "2", "memory": "4G"}, "reservations": {"cpus": "0.5", "memory": "1G"}}
    assert {key: value.as_compose() for key, value in services.items()} == {
        "archon-intelligence": own, "archon-search": own, "qdrant": qdrant,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["", "prod", "Production", "production ", "huge"])
def test_an_unknown_name_is_refused_and_the_known_ones_are_named(name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        profile(name)
    assert all(known in str(caught.value) for known in (*PROFILES, "custom"))


def test_values_beside_a_named_profile_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="its own values"):
        profile("staging", {"qdrant": {"cpus": 1, "memory": "1G"}})


def test_a_custom_profile_is_read() -> None:
    own = profile("custom", {"archon-mcp": {"cpus": "1.5", "memory": "1536M", "reserved_memory": "64m"}})
    assert own.services == {"archon-mcp": Resources(1.5, 1536 * 2**20, 0.5, 64 * 2**20)}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "without values"),
        ({"nginx": {"cpus": 1, "memory": "1G"}}, "no such service"),
        ({"ollama": {"cpus": 1, "memory": "1G"}}, "no such service"),
        ({"qdrant": {"cpus": 1}}, "memory not given"),
        ({"qdrant": {"cpus": 1, "memory": "1G", "swap": "1G"}}, "unknown: swap"),
        ({"qdrant": {"cpus": "many", "memory": "1G"}}, "no number"),
        ({"qdrant": {"cpus": "nan", "memory": "1G"}}, "cannot be reserved"),
        ({"qdrant": {"cpus": "inf", "memory": "1G"}}, "cannot be reserved"),
        ({"qdrant": {"cpus": -1, "memory": "1G"}}, "cannot be reserved"),
        ({"qdrant": {"cpus": 1, "memory": "lots"}}, "no size"),
        ({"qdrant": {"cpus": 1, "memory": "1G", "reserved_memory": "2G"}}, "cannot be reserved"),
        ({"qdrant": {"cpus": 1, "memory": True}}, "no size"),
    ],
)
def test_a_custom_profile_with_a_fault_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        profile("custom", values)


def test_a_host_that_has_enough_is_content() -> None:
    require_host(PROFILES["production"], Host(4, 8 * GIB))


def test_everything_that_is_too_much_is_said_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        require_host(PROFILES["production"], Host(1, 4 * GIB))
    for said in ("archon-search may use 4 CPUs", "archon-search may use 8G", "qdrant may use 2 CPUs",
                 "1.5 CPUs are reserved", "5G are reserved", "nothing was touched"):  # fmt: skip
        assert said in str(caught.value)


def test_each_replica_reserves_its_own() -> None:
    host = Host(4, 8 * GIB)
    require_host(PROFILES["production"], host, {"archon-search": 2})
    with pytest.raises(ConfigurationError, match="9G are reserved"):
        require_host(PROFILES["production"], host, {"archon-search": 3})


def test_a_size_is_read_back_as_it_was_written() -> None:
    dice = random.Random(7)
    for _ in range(500):
        amount = dice.randint(1, 2**14) * dice.choice([1, 2**10, 2**20, 2**30])
        assert size(size_text(amount)) == amount


@pytest.mark.parametrize("text", ["", "G", "-1G", "1T", "1,5G", "1 G B", "0x10"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="no size"):
        size(text)
