"""`pip check` inside a service, by a real pip on real environments, and what a security update does then."""

from __future__ import annotations

import shutil
import venv
from collections.abc import Mapping
from pathlib import Path

import pytest

from archon_dagster.context import Step
from archon_dagster.maintenance import pip_check as module
from archon_dagster.maintenance.pip_check import pip_check
from archon_dagster.maintenance.updates import update
from archon_dagster.stores.base import Progress
from archon_dagster_tests.unit.maintenance.containers import Containers, containers, fetch, on_containers
from archon_dagster_tests.unit.platform_double import Platform

COMPLAINT = "needy 1.0 requires not-there, which is not installed."
Environments = Mapping[str, Mapping[str, str]]


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Environments:
    """As a container has them: one whose packages go together, one that lacks a requirement, one without Python."""
    root = tmp_path_factory.mktemp("environments")
    venv.create(root / "venv", with_pip=True)
    needy = root / "packages" / "needy-1.0.dist-info"
    needy.mkdir(parents=True)
    (needy / "METADATA").write_text("Metadata-Version: 2.1\nName: needy\nVersion: 1.0\nRequires-Dist: not-there\n")
    (root / "bin").mkdir()
    (root / "bin" / "sh").symlink_to(shutil.which("sh") or "/bin/sh")
    path = f"{root / 'venv' / 'bin'}:{root / 'bin'}"
    whole = {"PATH": path, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return {
        "whole": whole,
        "broken": {**whole, "PYTHONPATH": str(root / "packages")},
        "without Python": {"PATH": str(root / "bin")},
    }


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return on_containers(Platform(tmp_path))


def given(platform: Platform, **images: Mapping[str, str]) -> Containers:
    """Images with these environments."""
    engine = containers(platform)
    engine.environments |= images
    return engine


@pytest.mark.parametrize(("name", "said"), [("whole", ""), ("broken", COMPLAINT), ("without Python", "")])
def test_a_real_pip_is_asked(platform: Platform, environments: Environments, name: str, said: str) -> None:
    assert pip_check(given(platform, old=environments[name]), "web") == said


def test_a_service_in_which_nothing_can_be_run_is_not_known(platform: Platform) -> None:
    assert pip_check(containers(platform), "web") is None


def test_a_pip_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: Platform) -> None:
    pip = tmp_path / "bin" / "pip"
    pip.parent.mkdir()
    pip.write_text("#!/bin/sh\nexec sleep 600\n")
    pip.chmod(0o755)
    monkeypatch.setattr(module, "LIMIT", 0.5)
    assert pip_check(given(platform, old={"PATH": f"{pip.parent}:/usr/bin:/bin"}), "web") == "it ended with -9"


def test_an_image_whose_packages_do_not_go_together_is_taken_back(
    platform: Platform, environments: Environments
) -> None:
    engine = given(platform, old=environments["whole"], new=environments["broken"])
    result = update(platform.context, engine, fetch(web="new"))
    assert (result.good, result.returned) == (False, ("web",))
    assert result.why == f"web: pip check fails in the new image and did not in the old one: {COMPLAINT}"
    assert engine.made == {"web": "old", "worker": "old"}


@pytest.mark.parametrize(("old", "new"), [("whole", "whole"), ("broken", "whole"), ("broken", "broken")])
def test_a_new_image_that_is_no_worse_than_the_old_one_stays(
    platform: Platform, environments: Environments, old: str, new: str
) -> None:
    engine = given(platform, old=environments[old], new=environments[new])
    assert update(platform.context, engine, fetch(web="new")).changed == {"web": ("old", "new")}
    assert engine.made == {"web": "new", "worker": "old"}


def test_that_it_could_not_be_asked_is_said(platform: Platform, environments: Environments) -> None:
    engine, told = given(platform, old=environments["whole"]), list[Step | Progress]()
    object.__setattr__(platform.context, "report", told.append)
    updated = update(platform.context, engine, fetch(web="new", worker="old"))
    assert updated.good and updated.warning == "warning: pip check could not be asked in web"
    assert updated.headline.endswith(f"1 had no newer image; {updated.warning}")
    assert Step("pip check web", "could not be asked", 0.0) in told


def test_where_it_could_be_asked_there_is_no_warning(platform: Platform, environments: Environments) -> None:
    engine = given(platform, old=environments["whole"], new=environments["whole"])
    assert update(platform.context, engine, fetch(web="new")).warning == ""
