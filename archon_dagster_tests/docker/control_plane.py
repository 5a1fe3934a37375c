"""A running control plane: what is asked of it and what is seen of it, from outside and in its containers."""

from __future__ import annotations

import json
import os
import re
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx

from archon_dagster.cli.webserver import ENDED, LAUNCH, LOCATION, REPOSITORY, STOP
from archon_dagster.platform.settings import load_settings
from archon_dagster_tests.docker.conftest import Compose
from archon_dagster_tests.docker.page import Operator
from archon_dagster_tests.docker_command import docker
from archon_dagster_tests.eventually import eventually

CONTROL_IMAGE = os.environ.get("ARCHON_TEST_CONTROL_IMAGE", "archon-control:latest")
START = 480.0  # seconds until the webserver answers with the code location loaded
_LOADED = "{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { __typename } } } } }"
_STATUS = "query ($run: ID!) { runOrError(runId: $run) { ... on Run { status tags { key value } } } }"
_WHY = """query ($run: ID!) { logsForRun(runId: $run) { ... on EventConnection { events {
    ... on MessageEvent { level message }
    ... on ExecutionStepFailureEvent { error { message errorChain { error { message } } } } } } } }"""

_KEPT = """\
import json, pathlib, time
root = pathlib.Path("/backups")
file = root / "locks" / "platform.json"
lock, seen = json.loads(file.read_text()), file.stat().st_mtime
names = [path.name for path in (root / "backups").iterdir()]
print(json.dumps({
    "holder": "" if lock["released"] or time.time() - seen > lock["lease"] else lock["purpose"],
    "markers": sorted(name for name in names if name.endswith(".incomplete")),
    "manifests": sorted(name for name in names if name.endswith(".json")),
    "chunks": sum(1 for _ in (root / "chunks").glob("*/*")),
}))
"""


@dataclass(frozen=True)
class ControlPlane:
    """A running one: its compose project, the platform it operates, who typed it, its address, and its two logins."""

    control: Compose
    platform: Compose
    typing: Operator
    url: str
    operator: tuple[str, str]
    viewer: tuple[str, str]
    trust: ssl.SSLContext

    @property
    def interval(self) -> int:
        """Seconds between two rounds of the health monitor."""
        return load_settings(ARCHON_PROJECT_DIR=self.platform.directory).health_interval

    def client(self, login: tuple[str, str] | None) -> httpx.Client:
        return httpx.Client(base_url=self.url, auth=login, verify=self.trust, timeout=60.0)

    def ask(self, query: str, login: tuple[str, str] | None = None, **variables: Any) -> dict[str, Any]:
        """Ask the webserver as an operator, unless somebody else is named."""
        with self.client(login or self.operator) as client:
            answer = client.post("/graphql", json={"query": query, "variables": variables})
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    def launch(self, job: str, config: dict[str, Any] | None = None) -> str:
        """Launch a job; the run's id."""
        answer = self.ask(LAUNCH, job=job, config=config or {}, location=LOCATION, repository=REPOSITORY)
        assert answer["data"]["launchRun"]["__typename"] == "LaunchRunSuccess", answer
        return str(answer["data"]["launchRun"]["run"]["runId"])

    def stop(self, run: str) -> None:
        """Ask for the end of a run; it is answered when everything has been put back."""
        with suppress(httpx.ReadTimeout):
            self.ask(STOP, run=run)

    def status(self, run: str) -> str:
        return str(self.ask(_STATUS, run=run)["data"]["runOrError"]["status"])

    def ended(self, run: str, within: float = 240.0) -> str:
        """The status of a run when it has ended."""
        return eventually(lambda: (now := self.status(run)) in ENDED and now, within)  # type: ignore[return-value]

    def succeeds(self, run: str, within: float = 240.0) -> None:
        """A run ends well; else what it says of its failure."""
        status = self.ended(run, within)
        if status != "SUCCESS":
            events = self.ask(_WHY, run=run)["data"]["logsForRun"]["events"]
            said = [one.get("error") or one["message"] for one in events if one.get("level") in ("ERROR", "WARNING")]
            raise AssertionError(f"{status}: {said}")

    def said(self, run: str) -> list[str]:
        """What a run has written into its log so far."""
        events = self.ask(_WHY, run=run)["data"]["logsForRun"]["events"]
        return [str(one["message"]) for one in events if "message" in one]

    def kept(self) -> dict[str, Any]:
        """What is in the repository, by its files: the lock's holder, markers, manifests, the number of chunks."""
        found: dict[str, Any] = json.loads(self.python(_KEPT))
        return found

    def refused(self) -> list[str]:
        """The calls that the engine's proxy has let nobody make."""
        said = docker("logs", self.control.container("engine"), merged=True)
        return re.findall(r"refused: (.+)", said)

    def container_of(self, run: str) -> str:
        """The container of a run, as long as there is one."""
        return docker("ps", "-q", "--filter", f"label=dagster/run_id={run}")

    def archon(self, *arguments: str) -> str:
        """What ``archon`` says in the deployment."""
        return docker("exec", self.control.container("code"), "archon", *arguments)

    def python(self, program: str) -> str:
        """Run a program where the engine can be reached through its proxy."""
        return docker("exec", self.control.container("code"), "python", "-c", program)

    def loaded(self) -> bool:
        """Whether both webservers, the operators' and the viewers', have the code location."""
        return all(self._loaded(login) for login in (self.operator, self.viewer))

    def _loaded(self, login: tuple[str, str]) -> bool:
        try:
            entries = self.ask(_LOADED, login)["data"]["workspaceOrError"]["locationEntries"]
        except (httpx.HTTPError, KeyError):
            return False
        return [(one["locationOrLoadError"] or {}).get("__typename") for one in entries] == ["RepositoryLocation"]
