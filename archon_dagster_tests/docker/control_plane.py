"""The deployment of ``docker/`` as an operator starts it, on images that need no registry."""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from archon_dagster.cli.webserver import ENDED, LAUNCH, LOCATION, REPOSITORY, STOP
from archon_dagster.platform.settings import load_settings
from archon_dagster_tests.docker import servers, stand_ins
from archon_dagster_tests.docker.conftest import IMAGE, Compose, docker, name_of
from archon_dagster_tests.eventually import eventually

CONTROL_IMAGE = os.environ.get("ARCHON_TEST_CONTROL_IMAGE", "archon-control:latest")
USER = 1000  # the image's
START = 480.0  # seconds until the webserver answers with the code location loaded
_LOADED = "{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { __typename } } } } }"
_STATUS = "query ($run: ID!) { runOrError(runId: $run) { ... on Run { status tags { key value } } } }"
_WHY = """query ($run: ID!) { logsForRun(runId: $run) { ... on EventConnection { events {
    ... on MessageEvent { level message } ... on ExecutionStepFailureEvent { error { message } } } } } }"""

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
    """A running one: its compose project, the platform it operates, its address, and its two logins."""

    control: Compose
    platform: Compose
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


@contextmanager
def running(directory: Path) -> Iterator[ControlPlane]:
    """A platform and its control plane, both in containers; removed with their data afterwards."""
    platform = Compose(directory / "platform", name_of("operated"))
    control = Compose(directory / "docker", name_of("control"))
    services = {**servers.services({}), "archon-agents": stand_ins.agents_service(platform)}
    platform.write(stand_ins.never_pulled(services), volumes={**servers.VOLUMES, "programs": {}})
    servers.write_settings(platform, dict.fromkeys(("qdrant", "memgraph", "postgres", "archon-agents"), 1))
    _owned(platform.directory)
    shutil.copytree(servers.CHECKOUT / "docker", control.directory, ignore=shutil.ignore_patterns("wheels", "secrets"))
    passwords = {"ARCHON_OPERATOR_PASSWORD": "may-do-all", "ARCHON_VIEWER_PASSWORD": "may-look"}
    subprocess.run(
        [control.directory / "prepare", platform.directory], env=os.environ | passwords, check=True, timeout=60
    )
    port = servers.free_port()
    _configure(control, platform, port)
    volumes = [f"{control.name}_{name}" for name in ("storage", "state", "backups")]
    try:
        stand_ins.build_storage(f"{control.name}-storage", directory / "storage", USER)
        platform.runtime.up()
        docker("compose", "--project-directory", str(control.directory), "up", "--detach", "--no-build", limit=START)
        trust = ssl.create_default_context(cafile=str(control.directory / "secrets" / "tls.crt"))
        plane = ControlPlane(control, platform, f"https://localhost:{port}", ("operator", "may-do-all"),
                             ("viewer", "may-look"), trust)  # fmt: skip
        eventually(plane.loaded, START)
        yield plane
    except BaseException:
        sys.stderr.write(
            docker("compose", "--project-directory", str(control.directory), "logs", "--tail", "40", check=False)
        )
        raise
    finally:
        runs = docker("ps", "-aq", "--filter", f"ancestor={CONTROL_IMAGE}", "--filter", "label=dagster/run_id")
        if runs:
            docker("rm", "--force", *runs.split())
        control.remove()
        docker("volume", "rm", "--force", *volumes)
        platform.remove()
        docker("volume", "rm", "--force", f"{platform.name}_programs")
        docker("rmi", "--force", f"{control.name}-storage", check=False)
        built = docker("images", "-q", "--filter", f"label=com.docker.compose.project={platform.name}").split()
        docker("rmi", "--force", *dict.fromkeys(built), check=False)


def _owned(directory: Path) -> None:
    """As an operator's directory: it belongs to the user that the containers run as."""
    for path in (directory, *directory.rglob("*")):
        os.lchown(path, USER, USER)


def _configure(control: Compose, platform: Compose, port: int) -> None:
    """Images that are here instead of the public ones; names and ports that nobody else has."""
    socket = re.fullmatch(r"unix://(.+)", os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    assert socket is not None, "the engine is reached by its socket in these tests"
    override = {"services": {"storage": stand_ins.storage_override()}}
    (control.directory / "stand-ins.yaml").write_text(json.dumps(override))
    values = {
        "COMPOSE_FILE": f"{control.directory}/compose.yaml:{control.directory}/stand-ins.yaml",
        "COMPOSE_PROJECT_NAME": control.name,
        "ARCHON_CONTROL_PROJECT": control.name, "ARCHON_CONTROL_IMAGE": CONTROL_IMAGE, "HAPROXY_IMAGE": IMAGE,
        "ARCHON_PLATFORM_PROJECT": platform.name, "ARCHON_PLATFORM_NETWORK": f"{platform.name}_default",
        "ARCHON_BACKUPS": f"{control.name}_backups", "ARCHON_LISTEN": f"127.0.0.1:{port}",
        "ARCHON_STORAGE_IMAGE": f"{control.name}-storage", "ARCHON_QDRANT_VOLUME": f"{platform.name}_qdrant_data",
        "ARCHON_QDRANT_STORAGE": "/platform/qdrant/storage", "DOCKER_SOCKET": socket[1],
        "ARCHON_ENVIRONMENT": "development",
    }  # fmt: skip
    with (control.directory / ".env").open("a") as file:
        file.write("".join(f"{name}={value}\n" for name, value in values.items()))
