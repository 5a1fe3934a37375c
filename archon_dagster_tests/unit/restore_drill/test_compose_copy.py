"""The project of throw-away containers shares nothing with the platform's that can be written; no engine is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from archon_dagster.errors import ServiceError
from archon_dagster.platform.runtime import compose_marks
from archon_dagster.platform.runtime.compose_copy import Copy, container_port, project
from archon_dagster.platform.runtime.compose_marks import EXPIRES, OF, OWNER, Mark

MARK = Mark("archon", "0123abcd", "home1", datetime(2026, 11, 29, 12, tzinfo=UTC))


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """As compose resolves it."""
    (tmp_path / "production.yaml").write_text("log_level: INFO\n")
    return {
        "name": "archon",
        "services": {
            "qdrant": {
                "image": "qdrant/qdrant:v1.7.4",
                "container_name": "qdrant",
                "restart": "unless-stopped",
                "environment": {"QDRANT__SERVICE__API_KEY": "a$$b"},
                "networks": {"default": None, "backbone": None},
                "depends_on": {"memgraph": {"condition": "service_healthy"}},
                "labels": {"archon.balances": "x"},
                "healthcheck": {"test": ["CMD", "true"]},
                "deploy": {"replicas": 1, "resources": {"limits": {"memory": "1g", "cpus": 2}}},
                "ports": [
                    {"target": 6334, "published": "6334", "host_ip": "127.0.0.1"},
                    {"target": 7000, "published": "16333", "host_ip": "127.0.0.1"},
                ],
                "volumes": [
                    {"type": "volume", "source": "qdrant_data", "target": "/qdrant/storage"},
                    {"type": "bind", "source": str(tmp_path), "target": "/qdrant/snapshots"},
                    {"type": "bind", "source": str(tmp_path / "production.yaml"), "target": "/qdrant/config.yaml"},
                    {"type": "bind", "source": str(tmp_path), "target": "/certificates", "read_only": True},
                    {"type": "tmpfs", "target": "/scratch"},
                ],
                "secrets": [{"source": "key"}],
            },
            "memgraph": {"image": "memgraph/memgraph:2.18.1", "network_mode": "host"},
            "archon-search": {"image": "archon-search:latest"},
        },
        "volumes": {"qdrant_data": {"name": "archon_qdrant_data"}},
        "secrets": {"key": {"file": str(tmp_path / "key")}, "other": {"file": "/other"}},
    }


@pytest.fixture
def made(config: dict[str, Any]) -> dict[str, Any]:
    copies = {"qdrant": Copy("sha256:ab", ("/qdrant/storage", "/var/log"), 7000), "memgraph": Copy("memgraph:x")}
    return project(MARK.project, config, copies, MARK.labels, "4g")


def test_only_what_was_asked_for_is_in_it_and_all_of_it_is_labelled(made: dict[str, Any]) -> None:
    assert made["name"] == "archon-restore-drill-0123abcd"
    assert set(made["services"]) == {"qdrant", "memgraph"}
    labelled = [*made["services"].values(), *made["volumes"].values(), *made["networks"].values()]
    assert [one["labels"] for one in labelled] == [MARK.labels] * len(labelled)
    assert MARK.labels[OF] == "archon"


def test_what_ties_a_server_to_its_platform_is_left_out(made: dict[str, Any]) -> None:
    one = made["services"]["qdrant"]
    assert one.keys().isdisjoint({"container_name", "networks", "depends_on", "network_mode"})
    assert "network_mode" not in made["services"]["memgraph"]
    assert one["restart"] == "no"
    assert one["image"] == "sha256:ab"
    assert one["environment"] == {"QDRANT__SERVICE__API_KEY": "a$$b"}
    assert made["secrets"].keys() == {"key"}


def test_the_port_is_on_loopback_and_chosen_by_the_engine(made: dict[str, Any]) -> None:
    (port,) = made["services"]["qdrant"]["ports"]
    assert (port["target"], port["host_ip"]) == (7000, "127.0.0.1")
    assert "published" not in port
    assert "ports" not in made["services"]["memgraph"]


def test_data_go_into_volumes_of_its_own_and_what_is_read_is_mounted_for_reading(made: dict[str, Any]) -> None:
    mounts = {one["target"]: one for one in made["services"]["qdrant"]["volumes"]}
    own = {target: one["source"] for target, one in mounts.items() if one["type"] == "volume"}
    assert own == {"/qdrant/storage": "qdrant-0", "/qdrant/snapshots": "qdrant-1", "/var/log": "qdrant-2"}
    assert set(made["volumes"]) == set(own.values())
    assert mounts["/qdrant/config.yaml"]["read_only"]
    assert mounts["/certificates"]["read_only"]
    assert mounts["/scratch"]["type"] == "tmpfs"


def test_memory_is_limited_and_the_platform_goes_first(made: dict[str, Any]) -> None:
    limits = {name: one["deploy"]["resources"]["limits"] for name, one in made["services"].items()}
    assert limits == {"qdrant": {"memory": "1g", "cpus": 2}, "memgraph": {"memory": "4g"}}
    assert all(one["oom_score_adj"] > 0 for one in made["services"].values())


def test_the_port_in_the_container_is_the_one_the_platform_publishes(config: dict[str, Any]) -> None:
    assert container_port(config, "qdrant", 16333, 6333) == 7000
    assert container_port(config, "qdrant", 6333, 6333) == 6333
    assert container_port(config, "memgraph", 7687, 7687) == 7687


def test_what_is_left_is_what_this_home_has_left_or_what_is_older_than_any_drill() -> None:
    labels, soon = MARK.labels, MARK.created + timedelta(hours=1)
    late = MARK.created + timedelta(hours=27)
    assert compose_marks._is_left(labels, "home1", soon)
    assert not compose_marks._is_left(labels, "home2", soon)
    assert compose_marks._is_left(labels, "home2", late)
    assert not compose_marks._is_left({OWNER: "home3"}, "home2", late)
    assert not compose_marks._is_left(labels | {EXPIRES: "soon"}, "home2", late)


class BusyEngine:
    """An engine that takes too long to answer, so many times."""

    def __init__(self, times: int):
        self.times, self.asked = times, 0

    @contextmanager
    def connect(self, doing: str) -> Iterator[MagicMock]:
        self.asked += 1
        if self.asked <= self.times:
            raise ServiceError(f"{doing}: the Docker engine says: timed out")
        client = MagicMock()
        client.containers.list.return_value = client.networks.list.return_value = []
        client.volumes.list.return_value = []
        yield client


def test_an_engine_that_is_busy_is_asked_again_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = BusyEngine(2)
    monkeypatch.setattr(compose_marks, "engine", busy.connect)
    monkeypatch.setattr(compose_marks, "_AGAIN", 0.0)
    compose_marks.remove("archon", [MARK.project])
    assert busy.asked == 3
    monkeypatch.setattr(compose_marks, "_REMOVE_BUDGET", 0.0)
    monkeypatch.setattr(compose_marks, "engine", BusyEngine(2).connect)
    with pytest.raises(ServiceError, match=f"{MARK.project} could not be removed"):
        compose_marks.remove("archon", [MARK.project])
