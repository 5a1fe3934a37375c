"""The control plane of ``docker/`` on a real engine: who gets in, and runs in containers of their own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import httpx
import pytest

from archon_dagster.cli.webserver import LAUNCH, LOCATION, REPOSITORY
from archon_dagster_tests.docker import servers
from archon_dagster_tests.docker.conftest import docker
from archon_dagster_tests.docker.control_plane import CONTROL_IMAGE, ControlPlane, running
from archon_dagster_tests.eventually import eventually

pytestmark = [pytest.mark.docker, pytest.mark.sandbox, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    if not docker("images", "-q", CONTROL_IMAGE):
        pytest.fail(f"the control plane's image {CONTROL_IMAGE} is not here: docker build -f docker/Dockerfile .")
    servers.require_same_python()
    with running(tmp_path_factory.mktemp("deployment")) as made:
        yield made


@pytest.mark.parametrize("path", ["/", "/server_info", "/graphql", "/runs", "/static/x.js", "//", "/%2e%2e/graphql"])
@pytest.mark.parametrize("login", [None, ("operator", "guessed"), ("nobody", ""), ("", "")])
def test_who_has_no_login_gets_nothing(plane: ControlPlane, path: str, login: tuple[str, str] | None) -> None:
    with plane.client(login) as client:
        answer = client.get(path)
    assert answer.status_code in (401, 429)
    assert "agster" not in answer.text


def test_only_the_proxy_is_published_and_it_speaks_tls_only(plane: ControlPlane) -> None:
    published = docker(
        "ps", "--filter", f"label=com.docker.compose.project={plane.control.name}", "--format", "{{.Ports}}"
    )
    assert re.findall(r"(\S+):\d+->(\d+)", published) == [("127.0.0.1", "8443")]
    with pytest.raises(httpx.HTTPError):
        httpx.get(plane.url.replace("https:", "http:"), timeout=10.0)


def test_a_viewer_sees_everything_and_may_do_nothing(plane: ControlPlane) -> None:
    asked = {"job": "backup", "config": {}, "location": LOCATION, "repository": REPOSITORY}
    refused = plane.ask(LAUNCH, plane.viewer, **asked)["data"]["launchRun"]
    assert refused["__typename"] == "UnauthorizedError"
    with plane.client(plane.viewer) as client:
        assert "agster" in client.get("/").text


def test_no_program_runs_as_root_or_writes_to_its_image(plane: ControlPlane) -> None:
    for service in ("code", "webserver", "viewer", "daemon"):
        seen = json.loads(docker("inspect", plane.control.container(service)))[0]
        assert seen["Config"]["User"] not in ("", "root", "0", "0:0")
        assert seen["HostConfig"]["ReadonlyRootfs"]
        assert not any("PASSWORD" in variable for variable in seen["Config"]["Env"])


REFUSED = (
    "DELETE /volumes/archon_qdrant_data", "POST /volumes/prune", "POST /containers/prune", "POST /swarm/init",
    "DELETE /containers/x?v=1", "DELETE /images/x", "POST /v1.41/system/prune", "GET /secrets",
)  # fmt: skip


@pytest.mark.parametrize("request_", REFUSED)
def test_the_engine_refuses_what_is_never_asked_of_it(plane: ControlPlane, request_: str) -> None:
    method, path = request_.split()
    program = (
        "import http.client; c = http.client.HTTPConnection('engine', 2375, timeout=20); "
        f"c.request({method!r}, {path!r}); print(c.getresponse().status)"
    )
    assert plane.python(program) == "403"


def test_a_backup_and_a_restore_run_in_containers_of_their_own(plane: ControlPlane) -> None:
    run = plane.launch("backup")
    eventually(lambda: plane.container_of(run), 120.0)
    assert plane.ended(run) == "SUCCESS"
    eventually(lambda: plane.container_of(run) == "")
    assert "Z-" in plane.archon("backups")
    plane.archon("restore", "latest", "--confirm", "RESTORE")
    assert {one.state for one in plane.platform.runtime.status()} == {"running"}


def test_a_killed_service_is_brought_back_by_a_run_in_a_container(plane: ControlPlane) -> None:
    killed = plane.platform.container("qdrant")
    docker("kill", killed)
    eventually(lambda: plane.platform.runtime.status()[0].state == "running", 240.0)
    assert plane.platform.container("qdrant") == killed


def test_a_cancelled_run_leaves_nothing_and_a_killed_one_fails_and_gives_its_lock_back(plane: ControlPlane) -> None:
    assert plane.ended(plane.launch("backup")) == "SUCCESS"
    before = plane.archon("backups", "--json")
    cancelled = plane.launch("backup")
    eventually(lambda: plane.status(cancelled) == "STARTED", 120.0)
    plane.stop(cancelled)
    assert plane.ended(cancelled) == "CANCELED"
    assert plane.archon("backups", "--json") == before
    killed = plane.launch("backup")
    eventually(lambda: plane.status(killed) == "STARTED", 120.0)
    docker("kill", plane.container_of(killed))
    assert plane.ended(killed) == "FAILURE"
    assert plane.archon("backups", "--json") == before
    assert plane.ended(plane.launch("backup")) == "SUCCESS"
