"""The control plane of ``docker/`` on a real engine: who gets in, and runs in containers of their own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest
import yaml
from docker.errors import APIError

from archon_dagster.cli.webserver import ENDED, LAUNCH, LOCATION, REPOSITORY
from archon_dagster.platform.runtime.compose_engine import engine
from archon_dagster.repository.holder import LEASE_SECONDS
from archon_dagster.sandbox import postgres
from archon_dagster_tests.docker import page, servers, stand_ins
from archon_dagster_tests.docker.control_plane import CONTROL_IMAGE, START, ControlPlane
from archon_dagster_tests.docker.deployment import USER, running
from archon_dagster_tests.docker_command import docker
from archon_dagster_tests.eventually import eventually

pytestmark = [pytest.mark.docker, pytest.mark.sandbox, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    if not docker("images", "-q", CONTROL_IMAGE):
        pytest.fail(f"the control plane's image {CONTROL_IMAGE} is not here: docker build -f docker/Dockerfile .")
    servers.require_same_python()
    with running(tmp_path_factory.mktemp("deployment")) as made:
        yield made


def test_the_page_leads_to_a_first_backup(plane: ControlPlane) -> None:
    """Sections 1 and 2 were typed to have this deployment at all; see :mod:`deployment`."""
    alias, start, status, backup, backups = page.commands("3. The first backup")
    plane.typing.types(alias, start)
    assert "last good backup: none" in plane.typing.types(alias, status, code=4)
    made = plane.typing.types(alias, backup)
    (manifest,) = plane.kept()["manifests"]
    assert manifest.removesuffix(".json") in made
    assert manifest.removesuffix(".json") in plane.typing.types(alias, backups)
    plane.typing.types(alias, status)


REQUESTS = [
    ("GET", path) for path in ("/", "/server_info", "/graphql", "/runs", "/static/x.js", "//", "/%2e%2e/graphql")
]
REQUESTS += [("POST", "/graphql"), ("PUT", "/graphql"), ("OPTIONS", "/graphql"), ("UPGRADE", "/graphql")]


@pytest.mark.parametrize(("method", "path"), REQUESTS)
@pytest.mark.parametrize("login", [None, ("operator", "guessed"), ("nobody", ""), ("", "")])
def test_who_has_no_login_gets_nothing(
    plane: ControlPlane, method: str, path: str, login: tuple[str, str] | None
) -> None:
    asked = {"job": "backup", "config": {}, "location": LOCATION, "repository": REPOSITORY}
    upgrade = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol": "graphql-ws",
    }  # fmt: skip
    with plane.client(login) as client:
        if method == "UPGRADE":
            answer = client.get(path, headers=upgrade)
        else:
            sent = {"json": {"query": LAUNCH, "variables": asked}} if method == "POST" else {}
            answer = client.request(method, path, **sent)
    assert answer.status_code in (401, 429)
    assert "agster" not in answer.text


def test_too_many_wrong_passwords_are_answered_at_once_and_a_right_one_still_gets_in(plane: ControlPlane) -> None:
    with plane.client(("operator", "guessed")) as client:
        said = [client.get("/server_info").status_code for _ in range(30)]
    assert said[-1] == 429
    with plane.client(plane.operator) as client:
        assert client.get("/server_info").status_code == 200


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
    for service in ("code", "webserver", "viewer", "daemon", "metrics", "proxy", "storage"):
        seen = json.loads(docker("inspect", plane.control.container(service)))[0]
        assert seen["Config"]["User"] not in ("", "root", "0", "0:0")
        assert seen["HostConfig"]["ReadonlyRootfs"]
        assert seen["HostConfig"]["CapDrop"] == ["ALL"]
        variables = [variable.partition("=")[0] for variable in seen["Config"]["Env"] or []]
        assert not [name for name in variables if "PASSWORD" in name and not name.endswith("_FILE")]
        programs = docker("top", plane.control.container(service), "-eo", "pid,uid").splitlines()[1:]
        assert {line.split()[1] for line in programs} == {str(USER)}
        groups = docker("top", plane.control.container(service), "-eo", "pid,gid").splitlines()[1:]
        assert {line.split()[1] for line in groups} == {str(USER)}


REACHED = """\
import socket

def reached(name):
    try:
        socket.create_connection((name, 4000), 10).close()
    except OSError:
        return False
    return True

print([name for name in ("code", "code-server") if reached(name)])
"""


def test_nobody_on_the_platforms_network_can_start_a_run_past_the_login(plane: ControlPlane) -> None:
    """The code server has no login of its own; it is on that network to look at the platform."""
    for network, there in ((plane.control.name, ["code", "code-server"]), (f"{plane.platform.name}_default", [])):
        said = docker("run", "--rm", "--network", network, "--entrypoint", "python", CONTROL_IMAGE, "-c", REACHED)
        assert said == str(there)


WRITER = "archon-agents"
ATTEMPTS = 5  # at most, to kill a run within the part of a second that it holds the writer
ROUND = 20.0  # seconds that a round of the monitor, and the start of its tick, may take

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


def restoring(**more: object) -> dict[str, object]:
    return {"ops": {"put_back": {"config": {"confirm": "RESTORE", **more}}}}


def test_a_backup_and_a_restore_run_in_containers_of_their_own(plane: ControlPlane) -> None:
    query(plane, "CREATE TABLE kept AS SELECT 7 AS number")
    for job, config in (("backup", {}), ("restore", restoring())):
        run = plane.launch(job, config)
        container = eventually(lambda run=run: plane.container_of(run), 120.0)
        (seen,) = json.loads(docker("inspect", str(container)))
        assert (seen["Config"]["User"], seen["HostConfig"]["ReadonlyRootfs"]) == (f"{USER}:{USER}", True)
        plane.succeeds(run)
        eventually(lambda run=run: plane.container_of(run) == "")
        if job == "backup":
            query(plane, "DROP TABLE kept")
    assert query(plane, "SELECT number FROM kept") == "7"
    query(plane, "DROP TABLE kept")
    assert {one.state for one in plane.platform.runtime.status()} == {"running"}


@pytest.mark.long
def test_a_restore_is_tried_in_throw_away_containers_that_only_the_run_reaches(plane: ControlPlane) -> None:
    plane.succeeds(plane.launch("backup"))
    before = {one.service: one.instance for one in plane.platform.runtime.status()}
    plane.succeeds(plane.launch("restore_drill"))
    last = json.loads(plane.archon("drill", "status", "--json"))
    assert [one["state"] for one in last["last"]["stores"]] == ["identical"] * 4
    assert last["left_by_killed_drills"] == []
    label = f"label=archon.throw-away.of={plane.platform.name}"
    for kind in (("ps", "-aq"), ("volume", "ls", "-q"), ("network", "ls", "-q")):
        assert docker(*kind, "--filter", label) == ""
    assert {one.service: one.instance for one in plane.platform.runtime.status()} == before


def test_a_killed_service_is_brought_back_by_a_run_in_a_container(plane: ControlPlane) -> None:
    killed = plane.platform.container("qdrant")
    docker("kill", killed)
    eventually(lambda: plane.platform.runtime.status()[0].state == "running", 240.0)
    assert plane.platform.container("qdrant") == killed


MUCH = (
    "CREATE TABLE much AS SELECT i, repeat(md5(i::text), 4) || md5(random()::text) FROM generate_series(1, 1000000) i"
)
FEWER = {"ops": {"take_backup": {"config": {"accept_counts": True}}}}
SOME = 3  # chunks of a backup that is at work


@pytest.fixture
def much(plane: ControlPlane) -> Iterator[None]:
    """So many rows that a backup takes a while, after one that has everything else already."""
    plane.succeeds(plane.launch("backup"))
    query(plane, MUCH)
    yield
    query(plane, "DROP TABLE much")
    plane.succeeds(plane.launch("backup", FEWER))  # the next one is not surprised


def query(plane: ControlPlane, statement: str) -> str:
    path = f"PATH={postgres.programs()}:/usr/bin:/bin"
    command = ("psql", "-qXtA", "-U", "postgres", "-c", statement)
    return docker("exec", "--env", path, plane.platform.container("postgres"), *command, limit=600.0)


def in_the_middle(plane: ControlPlane, run: str) -> None:
    """Wait until a backup holds the lock, has its marker, and has written some of its chunks."""
    before = plane.kept()["chunks"]

    def at_work() -> bool:
        if plane.status(run) in ENDED:
            plane.succeeds(run)
            pytest.fail("the backup was over before it could be met at work")
        now = plane.kept()
        return bool("backup" in now["holder"] and now["markers"] and now["chunks"] >= before + SOME)

    eventually(at_work, 180.0)
    assert plane.status(run) == "STARTED"


@pytest.mark.long
@pytest.mark.usefixtures("much")
def test_a_cancelled_run_leaves_nothing_and_a_killed_one_fails_and_gives_its_lock_back(plane: ControlPlane) -> None:
    before = plane.kept()
    assert (before["holder"], before["markers"]) == ("", [])
    cancelled = plane.launch("backup")
    in_the_middle(plane, cancelled)
    plane.stop(cancelled)
    assert plane.ended(cancelled) == "CANCELED"
    after = plane.kept()
    assert after["chunks"] > before["chunks"]  # for the next backup, which finds them useful
    assert {**after, "chunks": 0} == {**before, "chunks": 0}
    assert {one.state for one in plane.platform.runtime.status()} == {"running"}

    query(plane, "UPDATE much SET i = -i")  # what is there already is not written again
    killed = plane.launch("backup")
    in_the_middle(plane, killed)
    docker("kill", plane.container_of(killed))
    assert plane.ended(killed) == "FAILURE"
    left = plane.kept()
    assert left["manifests"] == before["manifests"]
    assert len(left["markers"]) == 1  # as it was killed
    query(plane, "DELETE FROM much WHERE i < -1000")
    eventually(lambda: plane.kept()["holder"] == "", 2 * LEASE_SECONDS)  # until then others are told how long it takes
    plane.succeeds(plane.launch("backup"))
    good = plane.kept()
    assert (good["holder"], good["markers"], len(good["manifests"])) == ("", [], len(before["manifests"]) + 1)


@pytest.mark.long
@pytest.mark.usefixtures("much")
def test_a_restore_that_is_terminated_puts_everything_back(plane: ControlPlane) -> None:
    """However long that takes: the engine must not kill it meanwhile."""
    plane.succeeds(plane.launch("backup"))
    query(plane, "UPDATE much SET i = -i")
    before = query(plane, "SELECT count(*), sum(i) FROM much")
    run = plane.launch("restore", restoring(only=["relational"]))
    eventually(lambda: any("restore relational" in line for line in plane.said(run)), 240.0)
    plane.stop(run)
    assert plane.ended(run) == "CANCELED"
    assert query(plane, "SELECT count(*), sum(i) FROM much") == before
    assert {one.state for one in plane.platform.runtime.status()} == {"running"}
    assert plane.kept()["holder"] == ""


def image_of(plane: ControlPlane) -> str:
    return docker("inspect", "--format", "{{.Image}}", plane.platform.container(WRITER))


def images_of(plane: ControlPlane) -> set[str]:
    label = f"label=com.docker.compose.project={plane.platform.name}"
    return set(docker("images", "--no-trunc", "-q", "--filter", label).split())


@pytest.mark.long
def test_updates_go_there_and_back_and_the_weekly_run_removes_old_images(plane: ControlPlane) -> None:
    first = image_of(plane)
    stand_ins.write_program(plane.platform, f"{stand_ins.GOOD}# the next version\n")
    plane.succeeds(plane.launch("security_updates"), 600.0)
    second = image_of(plane)
    assert second != first
    stand_ins.write_program(plane.platform, stand_ins.BAD)
    assert plane.ended(plane.launch("security_updates"), 600.0) == "FAILURE"
    assert image_of(plane) == second
    assert docker("image", "inspect", "--format", "{{.Id}}", f"{plane.platform.name}-agents:latest") == second
    assert len(images_of(plane)) == 3
    steps = ["backup", "optimise", "vacuum", "memory", "images", "logs", "housekeeping"]  # not how this machine is
    weekly = plane.launch("weekly_maintenance", {"ops": {"maintain": {"config": {"steps": steps}}}})
    plane.succeeds(weekly, 900.0)
    assert images_of(plane) == {second}


@pytest.mark.long
def test_the_files_of_a_store_are_where_a_recovery_looks_for_them(plane: ControlPlane) -> None:
    run = plane.launch("backup")
    (seen,) = json.loads(docker("inspect", str(eventually(lambda: plane.container_of(run), 120.0))))
    mounted = {one["Destination"]: (one.get("Name"), one["RW"]) for one in seen["Mounts"]}
    assert mounted["/platform/qdrant"] == (f"{plane.platform.name}_qdrant_data", True)
    assert "/platform/memgraph" not in mounted  # its volume was not named
    assert "ARCHON_QDRANT_STORAGE=/platform/qdrant/storage" in seen["Config"]["Env"]
    plane.succeeds(run)


def typed_together() -> list[str]:
    """The blocks of compose commands on the page."""
    return re.findall(r"^((?:docker compose .*\n)+)", page.TEXT, re.MULTILINE)


@pytest.mark.long
def test_after_an_upgrade_as_the_page_says_everything_is_there_and_works(plane: ControlPlane) -> None:
    """To the image that is here: what is built from a registry cannot be had."""
    run = plane.launch("backup")
    plane.succeeds(run)
    (upgrading,) = (lines for lines in typed_together() if " build\n" in lines)
    building, rest = upgrading.split("\n", 1)
    assert building.endswith(" build")
    plane.typing.types(rest)
    eventually(plane.loaded, START)
    assert plane.status(run) == "SUCCESS"
    plane.succeeds(plane.launch("backup"))


@pytest.mark.long
def test_the_history_comes_back_from_its_dump_as_the_page_says(plane: ControlPlane) -> None:
    run = plane.launch("backup")
    plane.succeeds(run)
    (saving,) = re.findall(r"^(docker compose .* pg_dump .*>dagster\.dump)$", page.TEXT, re.MULTILINE)
    (back,) = (lines for lines in typed_together() if "dropdb" in lines)
    table = "exec -T storage psql -qX -U dagster -d dagster -c 'DROP TABLE runs CASCADE'"
    for text in (saving, f"docker compose -f docker/compose.yaml {table}", back):
        plane.typing.types(text)
    eventually(plane.loaded, START)
    assert plane.status(run) == "SUCCESS"
    plane.succeeds(plane.launch("backup"))


@pytest.mark.long
def test_writers_that_the_killed_container_of_a_backup_held_go_on_by_themselves(plane: ControlPlane) -> None:
    """Its guard dies with it. The monitor lets them go on, and takes it for no incident."""
    incidents = plane.archon("incidents", "--json")
    for _ in range(ATTEMPTS):
        run = plane.launch("backup")
        if killed_while_it_holds(plane, run):
            break
        plane.ended(run)
    else:
        pytest.fail("the container of a backup could not be killed while it held the writer")
    eventually(lambda: writer_of(plane) == "running", LEASE_SECONDS + plane.interval + ROUND)
    assert plane.ended(run) == "FAILURE"
    assert plane.archon("incidents", "--json") == incidents


def writer_of(plane: ControlPlane) -> str:
    return next(one.state for one in plane.platform.runtime.status() if one.service == WRITER)


def killed_while_it_holds(plane: ControlPlane, run: str) -> bool:
    """Kill a run's container as soon as the writer is frozen; whether it still was afterwards."""
    writer, container = plane.platform.container(WRITER), eventually(lambda: plane.container_of(run), 120.0)
    with engine("a backup is watched") as client:
        holding, victim = client.containers.get(writer), client.containers.get(container)

        def frozen() -> bool:
            holding.reload()
            return bool(holding.status == "paused")

        eventually(frozen, 120.0)
        with suppress(APIError):  # it has ended already
            victim.kill()
    return writer_of(plane) == "paused"


def test_prometheus_reaches_the_metrics_on_a_network_of_their_own(plane: ControlPlane) -> None:
    program = "import urllib.request as r; print(r.urlopen('http://metrics:9464/metrics', timeout=20).read().decode())"
    on = ("--network", f"{plane.control.name}-metrics")
    said = docker("run", "--rm", *on, "--entrypoint", "python", CONTROL_IMAGE, "-c", program)
    assert "archon_service_info{" in said
    assert 'archon_metrics_source_up{source="certificate"} 1.0' in said


FROZEN = ("proxy", "webserver", "viewer", "metrics")  # what nothing else waits for


def test_every_service_is_healthy_and_one_that_answers_nothing_is_not(plane: ControlPlane) -> None:
    written = yaml.safe_load((servers.CHECKOUT / "docker" / "compose.yaml").read_text())["services"]
    well = dict.fromkeys(set(written) - {"init"}, "healthy")  # the one that ends
    eventually(lambda: plane.control.health() == well, 300.0)
    with plane.control.frozen(*FROZEN):
        eventually(lambda: plane.control.health() == well | dict.fromkeys(FROZEN, "unhealthy"), 120.0)
    eventually(lambda: plane.control.health() == well, 120.0)
    eventually(plane.loaded)


def test_nothing_that_is_needed_was_refused(plane: ControlPlane) -> None:
    """Last of all: of whatever the jobs above have asked of the engine."""
    asked = {request_.partition("?")[0] for request_ in REFUSED}
    assert [call for call in plane.refused() if call.partition("?")[0] not in asked] == []
