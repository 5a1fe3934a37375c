"""The compose runtime over small containers on a real engine."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from archon_dagster.errors import ConfigurationError, ServiceError
from archon_dagster.platform.runtime.compose_project import ComposeProject
from archon_dagster.platform.runtime.protocol import Runtime, ServiceStatus
from archon_dagster_tests.docker.conftest import Compose, program
from archon_dagster_tests.docker_command import IMAGE, docker
from archon_dagster_tests.eventually import eventually

pytestmark = pytest.mark.docker

POLITE = (
    "import os, signal, sys\n"
    "signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'bye\\n'), sys.exit(3)))\n"
    "print('awake', os.environ.get('COLOUR', ''))\n"
    "signal.alarm(600); signal.pause()"
)
TICKER = "import threading\nfor _ in range(60000): print('tick'); threading.Event().wait(0.01)"
WRITER = (
    "import pathlib, signal, sys\n"
    "signal.signal(signal.SIGTERM, lambda *_: sys.exit())\n"
    "pathlib.Path('/data/kept').write_text('kept')\n"
    "print('wrote')\n"
    "signal.alarm(600); signal.pause()"
)

Make = Callable[..., Compose]


def one(runtime: Runtime, name: str = "qdrant") -> ServiceStatus:
    return next(status for status in runtime.status() if status.service == name)


def said(runtime: Runtime, text: str, name: str = "qdrant") -> bool:
    return text in runtime.logs(name)


def awake(project: Compose, *services: str) -> Runtime:
    """The runtime of a project whose programs handle their signals by now."""
    project.runtime.up(*services)
    for name in services or project.runtime.services():
        eventually(lambda name=name: said(project.runtime, "awake", name))  # type: ignore[misc]
    return project.runtime


def test_the_runtime_keeps_the_protocol(projects: Make) -> None:
    typed: Runtime = projects({"qdrant": program(POLITE)}).runtime
    assert typed.kind == "compose"


def test_services_are_listed_in_catalogue_order_and_by_profile(projects: Make) -> None:
    agents = program(POLITE, profiles=["agents"])
    project = projects({name: program(POLITE) for name in ("archon-search", "memgraph", "qdrant")} | {"a": agents})
    assert project.runtime.services() == ("qdrant", "memgraph", "archon-search")
    assert [status.state for status in project.runtime.status()] == ["absent"] * 3
    (project.directory / ".env").write_text("COMPOSE_PROFILES=agents\n")
    assert "a" in project.runtime.services()


def test_what_runs_is_left_alone_by_another_up_even_if_it_is_configured_differently_now(projects: Make) -> None:
    project = projects({"qdrant": program(POLITE)})
    first = one(awake(project))
    project.write({"qdrant": program(POLITE, environment={"COLOUR": "red"})})
    project.runtime.up()
    assert (first.state, first.replicas, one(project.runtime)) == ("running", 1, first)


def test_concurrent_callers_make_one_container_and_one_network(projects: Make) -> None:
    project = projects({name: program(POLITE) for name in ("qdrant", "memgraph")})
    errors: list[BaseException] = []

    def start(name: str) -> None:
        try:
            project.runtime.up(name)
        except BaseException as error:  # noqa: BLE001 - shown by the assertion
            errors.append(error)

    callers = [threading.Thread(target=start, args=(name,)) for name in ("qdrant", "memgraph") * 3]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert errors == []
    label = f"label=com.docker.compose.project={project.name}"
    assert len(docker("ps", "-q", "--filter", label).splitlines()) == 2
    assert len(docker("network", "ls", "-q", "--filter", label).splitlines()) == 1


def test_stop_lets_the_program_end_and_up_starts_the_same_container(projects: Make) -> None:
    project = projects({"qdrant": program(POLITE)})
    runtime = awake(project)
    before = project.container("qdrant")
    runtime.stop("qdrant")
    assert (one(runtime).state, one(runtime).exit_code, one(runtime).replicas) == ("exited", 3, 0)
    assert said(runtime, "bye")
    runtime.stop("qdrant")
    runtime.up("qdrant")
    assert (one(runtime).state, project.container("qdrant")) == ("running", before)


def test_a_killed_container_is_seen_with_its_signal_and_can_be_started_again(projects: Make) -> None:
    project = projects({"qdrant": program(POLITE)})
    runtime = awake(project)
    docker("kill", project.container("qdrant"))
    eventually(lambda: one(runtime).state == "exited")
    assert one(runtime).exit_code == -9
    runtime.restart("qdrant")
    assert one(runtime).state == "running"


def test_a_removed_container_is_absent_and_restart_makes_a_new_one(projects: Make) -> None:
    project = projects({"qdrant": program(POLITE)})
    runtime = awake(project)
    docker("rm", "--force", project.container("qdrant"))
    assert (one(runtime).state, one(runtime).instance) == ("absent", "")
    runtime.restart("qdrant")
    assert one(runtime).state == "running"


def test_a_removed_network_is_made_again_by_recreate(projects: Make) -> None:
    project = projects({"qdrant": program(POLITE)})
    runtime = awake(project)
    network = f"{project.name}_default"
    docker("kill", project.container("qdrant"))
    docker("network", "rm", network)
    with pytest.raises(ServiceError, match=r"(?s)network.*last log lines of qdrant:\nawake"):
        runtime.restart("qdrant")
    runtime.recreate("qdrant")
    assert one(runtime).state == "running"


def test_a_paused_service_executes_nothing_until_unpaused(projects: Make) -> None:
    project = projects({"qdrant": program(TICKER)})
    project.runtime.up()
    runtime = project.runtime
    eventually(lambda: said(runtime, "tick"))
    runtime.pause("qdrant")
    frozen = docker("logs", project.container("qdrant")).count("tick")
    assert one(runtime).state == "paused"
    runtime.up("qdrant")
    assert one(runtime).state == "paused"
    assert docker("logs", project.container("qdrant")).count("tick") == frozen
    runtime.unpause("qdrant")
    eventually(lambda: docker("logs", project.container("qdrant")).count("tick") > frozen)


def test_a_paused_service_can_be_stopped_politely(projects: Make) -> None:
    project = projects({"qdrant": program(POLITE)})
    runtime = awake(project)
    runtime.pause("qdrant")
    runtime.stop("qdrant")
    assert (one(runtime).state, one(runtime).exit_code) == ("exited", 3)


def test_a_service_that_a_signal_has_frozen_can_be_stopped_politely(projects: Make) -> None:
    """The engine calls it running; asked to stop, it would be killed after the grace period."""
    project = projects({"qdrant": program(POLITE)})
    runtime = awake(project)
    docker("kill", "--signal", "STOP", project.container("qdrant"))
    runtime.stop("qdrant")
    assert (one(runtime).state, one(runtime).exit_code) == ("exited", 3)


def test_a_balancers_image_is_fetched_with_that_of_its_service(projects: Make) -> None:
    unreachable = {"image": "127.0.0.1:9/balancer:1", "labels": {"archon.balances": "archon-search"}}
    project = projects({"archon-search": program(POLITE, pull_policy="never"), "balancer": unreachable})
    assert project.runtime.services() == ("archon-search",)
    for names in ((), ("archon-search",)):
        with pytest.raises(ServiceError, match=r"pull failed[\s\S]*127\.0\.0\.1:9"):
            project.runtime.pull(*names)


def test_a_killed_callers_command_is_waited_for_by_the_next_one(projects: Make) -> None:
    """Compose goes on without whoever started it; two of its commands at once disturb each other."""
    project = projects({"qdrant": program(POLITE)})
    program_ = (
        "import os, signal, sys, threading\n"
        "from pathlib import Path\n"
        "from archon_dagster.platform.runtime.compose import ComposeRuntime\n"
        "from archon_dagster.platform.runtime.compose_project import ComposeProject\n"
        "directory = Path(sys.argv[1])\n"
        "threading.Timer(float(sys.argv[3]), os.kill, (os.getpid(), signal.SIGKILL)).start()\n"
        "ComposeRuntime(ComposeProject(directory, sys.argv[2]), directory / 'locks').recreate('qdrant')\n"
        "threading.Event().wait(60)\n"
    )
    awake(project)
    for later in ("0.8", "1.1", "1.4"):
        command = [sys.executable, "-c", program_, str(project.directory), project.name, later]
        assert subprocess.run(command, timeout=60, check=False).returncode == -9
        project.runtime.recreate("qdrant")
        assert one(project.runtime).state == "running"
    assert len(docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={project.name}").split()) == 1


@pytest.mark.parametrize("verb", ["pause", "unpause"])
def test_what_does_not_run_cannot_be_frozen_and_the_error_says_what_to_type(projects: Make, verb: str) -> None:
    runtime = projects({"qdrant": program(POLITE)}).runtime
    with pytest.raises(ServiceError, match=r"(?s)qdrant is absent, not running.*archon start qdrant"):
        getattr(runtime, verb)("qdrant")


def test_restart_does_not_read_the_configuration_again_and_recreate_does(projects: Make) -> None:
    project = projects({"qdrant": program(POLITE, environment={"COLOUR": "red"})})
    runtime = awake(project)
    before = project.container("qdrant")
    project.write({"qdrant": program(POLITE, environment={"COLOUR": "blue"})})
    runtime.restart("qdrant")
    assert project.container("qdrant") == before
    assert not said(runtime, "awake blue")
    runtime.recreate("qdrant")
    eventually(lambda: said(runtime, "awake blue"))
    assert project.container("qdrant") != before


def test_recreate_stops_nothing_when_the_project_is_broken(projects: Make) -> None:
    project = projects({"qdrant": program(POLITE)})
    runtime = awake(project)
    before = one(runtime)
    (project.directory / "compose.yaml").write_text("services: [")
    with pytest.raises(ConfigurationError, match="does not accept"):
        runtime.recreate("qdrant")
    project.write({"qdrant": program(POLITE)})
    assert one(runtime) == before


def test_frozen_services_go_on_while_somebody_has_broken_the_compose_file(projects: Make) -> None:
    project = projects({"qdrant": program(POLITE), "memgraph": program(POLITE)})
    runtime = awake(project, "qdrant")
    runtime.pause("qdrant")
    (project.directory / "compose.yaml").write_text("services: [")
    project.runtime.unpause("qdrant")
    assert [(status.service, status.state) for status in project.runtime.status()] == [("qdrant", "running")]
    project.runtime.stop("qdrant")
    with pytest.raises(ConfigurationError, match="does not accept the project"):
        project.runtime.up("qdrant")
    project.write({"qdrant": program(POLITE)})


def test_the_variables_of_this_process_do_not_change_the_project(
    projects: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = projects({"qdrant": program(POLITE, environment={"COLOUR": "${COLOUR:-unset}"})})
    (project.directory / ".env").write_text("COLOUR=green\n")
    monkeypatch.setenv("COLOUR", "red")
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "somebody-else")
    awake(project)
    assert said(project.runtime, "awake green")


def test_a_service_is_scaled_and_stays_scaled(projects: Make) -> None:
    project = projects({"archon-search": program(POLITE)})
    runtime = awake(project)
    first = project.container("archon-search")
    runtime.scale("archon-search", 3)
    assert one(runtime, "archon-search").replicas == 3
    runtime.recreate("archon-search")
    assert one(runtime, "archon-search").replicas == 3
    runtime.stop("archon-search")
    runtime.up("archon-search")
    assert one(runtime, "archon-search").replicas == 3
    runtime.scale("archon-search", 1)
    assert one(runtime, "archon-search").replicas == 1
    assert first != project.container("archon-search")


def test_down_removes_every_container_and_keeps_the_data(projects: Make) -> None:
    services = {"qdrant": program(WRITER, volumes=["data:/data"]), "memgraph": program(POLITE)}
    project = projects(services, volumes={"data": {}})
    runtime = project.runtime
    runtime.up()
    eventually(lambda: said(runtime, "wrote"))
    runtime.down()
    assert {status.state for status in runtime.status()} == {"absent"}
    assert docker("volume", "ls", "-q", "--filter", f"name={project.name}_data") == f"{project.name}_data"
    project.write({"qdrant": program("print(open('/data/kept').read())", volumes=["data:/data"])}, volumes={"data": {}})
    project.runtime.up()
    eventually(lambda: said(project.runtime, "kept"))


def test_no_verb_touches_another_project_or_a_labelled_volume(projects: Make) -> None:
    ours = projects({"qdrant": program(POLITE), "memgraph": program(POLITE)})
    theirs = projects({"qdrant": program(POLITE)})
    awake(theirs)
    volume = f"{ours.name}_precious"
    docker(
        "volume", "create", "--label", f"com.docker.compose.project={ours.name}", "--label", "project=archon", volume
    )
    try:
        untouched = docker("inspect", theirs.container("qdrant"))
        runtime = awake(ours)
        every: list[Callable[[], Any]] = [
            runtime.pause, runtime.unpause, runtime.restart, runtime.recreate, runtime.stop, runtime.up,
            lambda: runtime.scale("memgraph", 2), runtime.build, runtime.stats, runtime.image_digests, runtime.down,
        ]  # fmt: skip
        for verb in every:
            verb()
            assert docker("inspect", theirs.container("qdrant")) == untouched
            assert docker("volume", "ls", "-q", "--filter", f"name={volume}") == volume
    finally:
        docker("volume", "rm", volume)


def test_a_name_that_is_not_here_is_refused_with_the_ones_that_are(projects: Make) -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)no such service here: nobody.*services here: qdrant"):
        projects({"qdrant": program(POLITE)}).runtime.stop("nobody")


def test_stats_and_digests_tell_of_what_runs(projects: Make) -> None:
    project = projects({"qdrant": program("while True: pass"), "memgraph": program(POLITE)})
    runtime = project.runtime
    runtime.up("qdrant")
    (used,) = runtime.stats()
    assert used.service == "qdrant"
    assert used.cpu_percent > 5.0
    assert 1 << 20 < used.memory_bytes < 1 << 30
    assert list(runtime.image_digests()) == ["qdrant"]
    assert "sha256:" in runtime.image_digests()["qdrant"]


def test_a_swarm_stack_of_the_same_name_is_never_started_a_second_time(projects: Make) -> None:
    project = projects({"qdrant": program(POLITE)})
    task = docker("run", "--detach", "--label", f"com.docker.stack.namespace={project.name}",
                  IMAGE, "sleep", "600")  # fmt: skip
    try:
        for verb in (project.runtime.up, project.runtime.recreate, project.runtime.restart):
            with pytest.raises(ConfigurationError, match=r"(?s)as a Swarm stack.*nothing was touched"):
                verb("qdrant")
        assert one(project.runtime).state == "absent"
    finally:
        docker("rm", "--force", task)


def test_an_engine_that_does_not_answer_is_said(projects: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    project = projects({"qdrant": program(POLITE)})
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
        with pytest.raises(ServiceError, match=r"(?s)could not be looked at.*docker info"):
            project.runtime.status()


def test_a_compose_command_is_ended_when_its_time_is_up(projects: Make) -> None:
    project = projects({"qdrant": program(POLITE)})
    awake(project)
    compose = ComposeProject(project.directory, project.name)
    with pytest.raises(ServiceError, match="did not end within 1 s"):
        compose.run("logs", "--follow", limit=1.0)
    left = subprocess.run(["pgrep", "-f", f"project-name {project.name} logs"], check=False, capture_output=True)
    assert left.stdout == b""
