"""Runs that are launched by a command and terminated as the button of the UI does it."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.integration.test_up import ARCHON, Up

PROMPT = 8.0  # seconds until the run is CANCELED: two for the work, the rest is Dagster's way there and back
_TERMINATE = """
mutation ($run: String!) {
  terminateRun(runId: $run) { __typename ... on TerminateRunFailure { message } ... on PythonError { message } }
}
"""
_STATUS = "query ($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"


@contextmanager
def launched(up: Up, errors: Path, *command: str) -> Iterator[str]:
    """The id of the run that such a command has just launched."""
    environment = {**os.environ, "ARCHON_HOME": str(up.home)}
    with errors.open("wb") as output:
        process = subprocess.Popen([*ARCHON, *command], env=environment, stdout=output, stderr=output)
    try:
        run = eventually(lambda: re.search(r"/runs/([0-9a-f-]{36})", errors.read_text()), 60)
        assert run is not None
        yield run[1]
    finally:
        process.wait(60)


def terminate(up: Up, run: str) -> float:
    """The seconds until the run is CANCELED."""
    began = time.monotonic()
    ask_to_end(up, run)
    eventually(lambda: is_cancelled(up, run), 60)
    return time.monotonic() - began


def ask_to_end(up: Up, run: str) -> None:
    """Press the button."""
    assert _ask(up, _TERMINATE, run)["terminateRun"]["__typename"] == "TerminateRunSuccess"


def is_cancelled(up: Up, run: str) -> bool:
    status = _ask(up, _STATUS, run)["runOrError"]["status"]
    assert status in ("STARTED", "CANCELING", "CANCELED")
    return bool(status == "CANCELED")


def _ask(up: Up, query: str, run: str) -> dict[str, Any]:
    answer = httpx.post(f"{up.url}/graphql", json={"query": query, "variables": {"run": run}}, timeout=30)
    found: dict[str, Any] = answer.raise_for_status().json()["data"]
    return found
