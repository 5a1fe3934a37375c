"""Which old images go: the requests that reach the engine, from an engine of which only the images are there."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from archon_dagster.maintenance import images, recorded
from archon_dagster.maintenance.recorded import Recorded
from archon_dagster.maintenance.step import MaintenanceContext
from archon_dagster_tests.unit.maintenance.containers import on_containers
from archon_dagster_tests.unit.maintenance.engine_double import serving
from archon_dagster_tests.unit.platform_double import Platform


def number(name: str) -> str:
    """An id as the engine has them."""
    return "sha256:" + name.encode().hex().ljust(64, "0")


@dataclass
class Engine:
    """Images as a Docker engine keeps them, by name: their tags, their label, and whether a container uses them."""

    tags: dict[str, list[str]]
    project: dict[str, str] = field(default_factory=dict)
    in_use: set[str] = field(default_factory=set)
    removals: list[tuple[str, str]] = field(default_factory=list)
    """Of every request to remove one: which, and whether it was to be forced."""

    def answer(self, method: str, path: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        if path == "/version":
            return 200, {"ApiVersion": "1.44"}
        if path.endswith("/images/json"):
            return 200, [self._about(name) for name in self.tags if self._listed(name, query)]
        wanted = path.partition("/images/")[2].removesuffix("/json")
        name = next((name for name in self.tags if number(name) == wanted), None)
        if name is None:
            return 404, {"message": f"No such image: {wanted}"}
        if method == "GET":
            return 200, self._about(name)
        self.removals.append((name, query["force"][0]))
        if name in self.in_use:
            return 409, {"message": "conflict: image is being used by a container"}
        del self.tags[name]
        return 200, [{"Deleted": wanted}]

    def _about(self, name: str) -> dict[str, Any]:
        return {"Id": number(name), "RepoTags": self.tags[name], "RepoDigests": [], "Size": 1000}

    def _listed(self, name: str, query: dict[str, list[str]]) -> bool:
        filters = json.loads(query.get("filters", ["{}"])[0])
        (label,) = filters["label"]
        return f"com.docker.compose.project={self.project.get(name)}" == label and not self.tags[name]


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return on_containers(Platform(tmp_path))


def prune(platform: Platform, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> str:
    with serving(engine.answer) as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        return images.prune(MaintenanceContext(platform.context)).detail


def note(platform: Platform, *replaced: str, kept: str = "running") -> None:
    record = Recorded(at=1.8e9, ids={"web": number(kept)}, replaced=tuple(map(number, replaced)))
    recorded.save(platform.settings.home, record)


def test_of_what_was_pulled_exactly_the_replaced_ones_go(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine({"replaced": [], "running": ["web:1"], "kept": [], "somebody's": [], "another's": ["db:16"]})
    note(platform, "replaced", kept="kept")
    assert prune(platform, engine, monkeypatch).startswith("1 images removed, 0 in use, 1 kept")
    assert engine.removals == [("replaced", "False")]
    assert recorded.replaced(platform.settings.home) == ()
    prune(platform, engine, monkeypatch)
    assert engine.removals == [("replaced", "False")]


def test_one_that_a_container_uses_stays_and_is_asked_again_next_time(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine({"replaced": []}, in_use={"replaced"})
    note(platform, "replaced")
    assert prune(platform, engine, monkeypatch).startswith("0 images removed, 1 in use")
    engine.in_use.clear()
    assert prune(platform, engine, monkeypatch).startswith("1 images removed, 0 in use")
    assert {forced for _, forced in engine.removals} == {"False"}


def test_one_that_has_a_name_again_or_is_gone_back_to_is_not_even_asked_for(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine({"named": ["db:15"], "running": []})
    note(platform, "named", "running", "gone already")
    assert prune(platform, engine, monkeypatch).startswith("0 images removed, 0 in use")
    assert engine.removals == []
    assert number("gone already") not in recorded.replaced(platform.settings.home)
    assert number("named") in recorded.replaced(platform.settings.home)


def test_what_was_built_here_goes_and_what_was_built_for_others_stays(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = platform.settings.compose_project
    engine = Engine({"built": [], "other": [], "both": []}, {"built": mine, "other": f"{mine}-other", "both": mine})
    note(platform, "both")
    assert prune(platform, engine, monkeypatch).startswith("2 images removed, 0 in use")
    assert [name for name, _ in engine.removals] == ["built", "both"]
    assert list(engine.tags) == ["other"]
