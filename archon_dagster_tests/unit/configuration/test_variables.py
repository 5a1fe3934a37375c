"""The variables that are known are those that somebody reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from archon_dagster.configuration.validation import validate
from archon_dagster.configuration.variables import DEPLOYMENT, TABLE, is_known, nearest, variable_of
from archon_dagster_tests.unit.configuration.sample import with_

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


PRODUCTION = (
    "ARCHON_ENVIRONMENT", "LOG_LEVEL", "DEBUG_MODE", "INTELLIGENCE_SERVICE_PORT", "SEARCH_SERVICE_PORT",
    "BRIDGE_SERVICE_PORT", "MCP_SERVER_PORT", "QDRANT_URL", "MEMGRAPH_URI", "SUPABASE_URL", "SUPABASE_SERVICE_KEY",
    "OLLAMA_BASE_URL", "EMBEDDING_MODEL", "EMBEDDING_DIMENSION", "BATCH_SIZE", "MAX_CONCURRENT_EMBEDDINGS",
    "VECTOR_SEARCH_TIMEOUT", "AUTO_REFRESH_ENABLED", "INDEX_OPTIMIZATION_INTERVAL", "SERVICE_AUTH_TOKEN",
    "CORS_ALLOWED_ORIGINS", "ENABLE_METRICS", "METRICS_PORT", "HEALTH_CHECK_INTERVAL",
)  # fmt: skip
DEVELOPMENT = (
    "ARCHON_ENVIRONMENT", "LOG_LEVEL", "DEBUG_MODE", "BATCH_SIZE", "MAX_CONCURRENT_EMBEDDINGS",
    "VECTOR_SEARCH_TIMEOUT", "CORS_ALLOWED_ORIGINS", "SERVICE_AUTH_TOKEN", "ENABLE_API_DOCS", "ENABLE_SWAGGER_UI",
    "MOCK_EXTERNAL_SERVICES",
)  # fmt: skip


def test_every_variable_of_the_runbooks_environments_has_a_kind() -> None:
    """Those of its chapter Environment Configuration, ``.env.production`` and ``.env.development``, in order."""
    assert [name for name in (*PRODUCTION, *DEVELOPMENT) if name not in TABLE] == []


@pytest.mark.parametrize("name", sorted({*PRODUCTION, *DEVELOPMENT}))
def test_no_variable_of_the_runbook_takes_just_anything(name: str) -> None:
    found = validate(with_(f"{name}=' no value of any of them '"))
    assert [one.severity for one in found.problems if one.key == name][:1] == ["error"]


def test_a_container_variable_has_the_kind_of_its_end() -> None:
    kinds = {
        name: variable_of(name) for name in ("SEARCH_REPLICAS", "QDRANT_IMAGE", "QDRANT_CPUS", "MCP_MEMORY_RESERVED")
    }
    assert [one.kind for one in kinds.values() if one] == ["whole", "image", "cpus", "memory"]
    assert variable_of("NOBODY_IMAGE") is None
    assert nearest("XYZ") is None
