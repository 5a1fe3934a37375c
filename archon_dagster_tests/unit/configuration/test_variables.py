"""The variables that are known are those that somebody reads."""

from __future__ import annotations

import re
from pathlib import Path

from archon_dagster.configuration.variables import DEPLOYMENT, is_known, nearest, variable_of

DOCKER = Path(__file__).parents[3] / "docker"
_REFERENCE = re.compile(r"(?<!\$)\$\{([A-Z_0-9]+)")


def test_every_variable_of_the_platforms_compose_files_is_known() -> None:
    named = {name for file in (DOCKER / "platform").glob("*.yaml") for name in _REFERENCE.findall(file.read_text())}
    named |= set(re.findall(r"^#? ?([A-Z_0-9]+)=", (DOCKER / "platform" / ".env.example").read_text(), re.MULTILINE))
    assert len(named) > 30
    assert [name for name in sorted(named) if not is_known(name)] == []


def test_what_belongs_to_the_control_planes_own_project_is_what_its_compose_file_reads() -> None:
    text = (DOCKER / "compose.yaml").read_text()
    named = {name for name in _REFERENCE.findall(text) if name.startswith("ARCHON_") and not is_known(name)}
    assert named <= DEPLOYMENT
    assert [name for name in sorted(DEPLOYMENT) if f"${{{name}:" not in text] == []


def test_a_container_variable_has_the_kind_of_its_end() -> None:
    kinds = {
        name: variable_of(name) for name in ("SEARCH_REPLICAS", "QDRANT_IMAGE", "QDRANT_CPUS", "MCP_MEMORY_RESERVED")
    }
    assert [one.kind for one in kinds.values() if one] == ["whole", "image", "cpus", "memory"]
    assert variable_of("NOBODY_IMAGE") is None
    assert nearest("XYZ") is None
