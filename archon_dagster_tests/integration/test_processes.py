"""The processes runtime over small programs that live as long as they are let."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from archon_dagster.errors import ConfigurationError, ServiceError
from archon_dagster.platform.runtime.process_instance import LOG_LIMIT, read_instance
from archon_dagster.platform.runtime.process_spec import ProcessSpec, write_spec
from archon_dagster.platform.runtime.processes import ProcessesRuntime
from archon_dagster.platform.runtime.protocol import Runtime, ServiceStatus
from archon_dagster.platform.services import BY_NAME
from archon_dagster_tests.eventually import eventually

GRACE = 1.0
CATALOGUE = {name: dataclasses.replace(service, stop_grace=GRACE) for name, service in BY_NAME.items()}

WAIT = "import signal; signal.alarm(600); signal.pause()"
SLEEPER = f"print('awake', flush=True); {WAIT}"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); {WAIT}"
POLITE = (  # os.write: a signal may come while print is still at work, and print is not reentrant
    "import os, signal, sys\n"
    "signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'bye\\n'), sys.exit(3)))\n"
    "print('awake', flush=True)\n"
    f"{WAIT}"
)
FAMILY = (  # a child in a session of its own and one that has lost its parent, as databases and daemons have them
    "import subprocess, sys\n"
    f"sleeper = [sys.executable, '-c', {WAIT!r}]\n"
    "subprocess.Popen(sleeper, start_new_session=True)\n"
    "lose = f'import subprocess; subprocess.Popen({sleeper!r}, start_new_session=True)'\n"
    "subprocess.run([sys.executable, '-c', lose])\n"
    "print('family', flush=True)\n"
    f"{WAIT}"
)
TICKER = "import threading\nfor _ in range(60000): print('tick', flush=True); threading.Event().wait(0.01)"

Make = Callable[..., Path]


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "services"
    directory.mkdir()
    yield directory
    ProcessesRuntime(directory, CATALOGUE).down()


@pytest.fixture
def runtime(services: Path) -> ProcessesRuntime:
    return ProcessesRuntime(services, CATALOGUE)


@pytest.fixture
def service(services: Path, tmp_path: Path) -> Make:
    def make(name: str, program: str, **more: object) -> Path:
        spec = ProcessSpec(command=[sys.executable, "-c", program], cwd=tmp_path, **more)  # type: ignore[arg-type]
        write_spec(services / name, spec)
        return services / name

    return make


def one(runtime: Runtime, name: str = "qdrant") -> ServiceStatus:
    return next(status for status in runtime.status() if status.service == name)


def said(runtime: Runtime, text: str, name: str = "qdrant") -> bool:
    return text in runtime.logs(name)


def marked(directory: Path) -> list[psutil.Process]:
    """The living processes of the instance in a service's directory, by the mark they inherited."""
    instance = read_instance(directory)
    assert instance is not None
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("ARCHON_PROCESS_MARK") == instance.mark and process.status() != "zombie":
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def test_the_runtime_keeps_the_protocol(runtime: ProcessesRuntime) -> None:
    typed: Runtime = runtime
    assert typed.kind == "processes"


def test_services_are_listed_in_catalogue_order(runtime: ProcessesRuntime, service: Make) -> None:
    for name in ("archon-search", "memgraph", "qdrant"):
        service(name, SLEEPER)
    assert runtime.services() == ("qdrant", "memgraph", "archon-search")
    assert [status.state for status in runtime.status()] == ["absent"] * 3


def test_a_service_runs_after_up_and_is_left_alone_by_another(runtime: ProcessesRuntime, service: Make) -> None:
    service("qdrant", SLEEPER)
    runtime.up()
    first = one(runtime)
    runtime.up()
    assert first.state == "running"
    assert one(runtime) == first


def test_concurrent_callers_start_a_service_once(services: Path, service: Make) -> None:
    directory = service("qdrant", SLEEPER)
    callers = [threading.Thread(target=ProcessesRuntime(services, CATALOGUE).up) for _ in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(marked(directory)) == 1


def test_a_service_outlives_who_started_it_and_is_found_again(services: Path, service: Make) -> None:
    service("qdrant", SLEEPER)
    program = (
        "import os, pathlib, signal, sys\n"
        "from archon_dagster.platform.runtime.processes import ProcessesRuntime\n"
        "ProcessesRuntime(pathlib.Path(sys.argv[1])).up()\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    died = subprocess.run([sys.executable, "-c", program, str(services)], check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL
    runtime = ProcessesRuntime(services, CATALOGUE)
    assert one(runtime).state == "running"
    runtime.stop()
    assert one(runtime).state == "exited"


def test_a_reused_pid_is_not_mistaken_for_the_service(runtime: ProcessesRuntime, service: Make) -> None:
    directory = service("qdrant", SLEEPER)
    runtime.up()
    instance = read_instance(directory)
    assert instance is not None
    runtime.kill("qdrant")
    stranger = subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.DEVNULL)
    try:
        # what the file says after the kernel has given the number to somebody else
        (directory / "process.json").write_text(instance.model_copy(update={"pid": stranger.pid}).model_dump_json())
        assert one(runtime).state == "exited"
        runtime.stop()
        runtime.up()
        assert stranger.poll() is None
        assert one(runtime).instance != str(stranger.pid)
    finally:
        stranger.kill()
        stranger.wait()


def test_an_exit_code_is_seen_by_every_process(services: Path, runtime: ProcessesRuntime, service: Make) -> None:
    service("qdrant", "raise SystemExit(7)")
    runtime.up()
    other = ProcessesRuntime(services, CATALOGUE)
    assert eventually(lambda: one(other).exit_code) == 7
    assert one(other).state == "exited"


def test_a_killed_service_has_the_signal_as_exit_code(runtime: ProcessesRuntime, service: Make) -> None:
    service("qdrant", SLEEPER)
    runtime.up()
    runtime.kill("qdrant")
    assert one(runtime).state == "exited"
    assert eventually(lambda: one(runtime).exit_code) == -signal.SIGKILL


def test_a_service_is_asked_before_it_is_stopped(runtime: ProcessesRuntime, service: Make) -> None:
    service("qdrant", POLITE)
    runtime.up()
    eventually(lambda: said(runtime, "awake"))
    runtime.stop()
    assert said(runtime, "bye")
    assert eventually(lambda: one(runtime).exit_code) == 3


def test_a_service_that_does_not_listen_is_killed_after_its_grace(runtime: ProcessesRuntime, service: Make) -> None:
    service("qdrant", DEAF)
    runtime.up()
    eventually(lambda: said(runtime, "deaf"))
    begin = time.monotonic()
    runtime.stop()
    assert GRACE <= time.monotonic() - begin < GRACE + 5
    assert one(runtime).exit_code == -signal.SIGKILL


def test_the_stop_signal_is_the_services_own(runtime: ProcessesRuntime, service: Make) -> None:
    service("qdrant", POLITE.replace("SIGTERM", "SIGINT"), stop_signal=int(signal.SIGINT))
    runtime.up()
    eventually(lambda: said(runtime, "awake"))
    runtime.stop()
    assert said(runtime, "bye")


@pytest.mark.parametrize("ending", ["stop", "kill", "down"])
def test_no_member_of_a_service_survives_its_end(runtime: ProcessesRuntime, service: Make, ending: str) -> None:
    directory = service("qdrant", FAMILY)
    runtime.up()
    eventually(lambda: said(runtime, "family"))
    members = marked(directory)
    assert len(members) == 3
    {"stop": runtime.stop, "kill": lambda: runtime.kill("qdrant"), "down": runtime.down}[ending]()
    assert [process.pid for process in members if process.is_running() and process.status() != "zombie"] == []


def test_what_a_crash_left_behind_is_gone_after_the_next_up(runtime: ProcessesRuntime, service: Make) -> None:
    directory = service("qdrant", FAMILY)
    runtime.up()
    eventually(lambda: said(runtime, "family"))
    left = marked(directory)
    os.kill(int(one(runtime).instance), signal.SIGKILL)
    eventually(lambda: one(runtime).state == "exited")
    runtime.up()
    assert [process.pid for process in left if process.is_running() and process.status() != "zombie"] == []
    assert one(runtime).state == "running"


def test_a_paused_service_executes_nothing(services: Path, runtime: ProcessesRuntime, service: Make) -> None:
    directory = service("qdrant", TICKER)
    runtime.up()
    eventually(lambda: said(runtime, "tick"))
    runtime.pause()
    size = (directory / "log").stat().st_size
    assert one(ProcessesRuntime(services, CATALOGUE)).state == "paused"
    with pytest.raises(AssertionError):
        eventually(lambda: (directory / "log").stat().st_size != size, within=0.3)
    runtime.unpause()
    assert one(runtime).state == "running"
    eventually(lambda: (directory / "log").stat().st_size > size)


def test_every_process_of_a_service_is_paused(runtime: ProcessesRuntime, service: Make) -> None:
    service("qdrant", FAMILY)
    runtime.up()
    eventually(lambda: said(runtime, "family"))
    tree = [psutil.Process(int(one(runtime).instance))]
    tree += tree[0].children(recursive=True)
    runtime.pause()
    assert {process.status() for process in tree} == {psutil.STATUS_STOPPED}
    runtime.unpause()
    assert psutil.STATUS_STOPPED not in {process.status() for process in tree}


def test_a_paused_service_can_be_stopped(runtime: ProcessesRuntime, service: Make) -> None:
    service("qdrant", POLITE)
    runtime.up()
    eventually(lambda: said(runtime, "awake"))
    runtime.pause()
    runtime.stop()
    assert said(runtime, "bye")


def test_up_leaves_a_paused_service_paused(runtime: ProcessesRuntime, service: Make) -> None:
    service("qdrant", SLEEPER)
    runtime.up()
    runtime.pause()
    runtime.up()
    assert one(runtime).state == "paused"


def test_pausing_what_does_not_run_says_so(runtime: ProcessesRuntime, service: Make) -> None:
    service("qdrant", SLEEPER)
    with pytest.raises(ServiceError, match="qdrant is absent, not running"):
        runtime.pause("qdrant")


def test_a_service_that_died_does_not_keep_the_others_paused(runtime: ProcessesRuntime, service: Make) -> None:
    for name in ("qdrant", "archon-search"):  # of different phases
        service(name, SLEEPER)
    runtime.up()
    runtime.pause()
    runtime.kill("qdrant")
    with pytest.raises(ServiceError, match="qdrant is exited"):
        runtime.unpause()
    assert one(runtime, "archon-search").state == "running"


def test_restart_keeps_the_environment_and_recreate_reads_it_again(
    runtime: ProcessesRuntime, service: Make, tmp_path: Path
) -> None:
    env_file = tmp_path / "platform.env"
    env_file.write_text("COLOUR=red\n")
    program = f"import os; print('colour', os.environ['COLOUR'], flush=True); {WAIT}"
    service("qdrant", program, env_files=[env_file])
    runtime.up()
    first = one(runtime).instance
    eventually(lambda: said(runtime, "colour red"))
    env_file.write_text("COLOUR=blue\n")
    runtime.restart()
    assert one(runtime).instance != first
    eventually(lambda: runtime.logs("qdrant").count("colour red") == 2)
    runtime.recreate()
    eventually(lambda: said(runtime, "colour blue"))


def test_an_unusable_specification_does_not_stop_what_runs(runtime: ProcessesRuntime, service: Make) -> None:
    directory = service("qdrant", SLEEPER)
    runtime.up()
    (directory / "spec.json").write_text('{"command": []}')
    with pytest.raises(ConfigurationError, match=r"command"):
        runtime.recreate("qdrant")
    assert one(runtime).state == "running"


def test_down_forgets_the_instance_and_keeps_the_log(runtime: ProcessesRuntime, service: Make) -> None:
    service("qdrant", SLEEPER)
    runtime.up()
    eventually(lambda: said(runtime, "awake"))
    runtime.down()
    assert one(runtime).state == "absent"
    assert said(runtime, "awake")


def test_who_comes_after_a_removal_finds_nothing_to_start(
    services: Path, runtime: ProcessesRuntime, service: Make
) -> None:
    directory = service("qdrant", DEAF)
    runtime.up()
    eventually(lambda: said(runtime, "deaf"))
    late: list[Exception] = []

    def restart() -> None:
        try:
            ProcessesRuntime(services, CATALOGUE).restart("qdrant")
        except (ConfigurationError, ServiceError) as error:
            late.append(error)

    remover = threading.Thread(target=runtime.remove)
    remover.start()
    restarter = threading.Thread(target=restart)  # of an operation that does not know that the end has come
    restarter.start()
    remover.join()
    restarter.join()
    assert not (directory / "spec.json").exists()
    if not late:  # it was first, and what it had started is gone with the rest
        assert runtime.services() == ()
    assert [p for p in psutil.process_iter(["cmdline"]) if DEAF in (p.info["cmdline"] or [])] == []


def test_a_missing_program_is_named(runtime: ProcessesRuntime, services: Path, tmp_path: Path) -> None:
    write_spec(services / "qdrant", ProcessSpec(command=["/no/such/program"], cwd=tmp_path))
    with pytest.raises(ServiceError, match="/no/such/program"):
        runtime.up()


def test_an_unknown_service_is_refused_before_anything_is_touched(runtime: ProcessesRuntime, service: Make) -> None:
    service("qdrant", SLEEPER)
    with pytest.raises(ConfigurationError, match=r"no such service here: nonsense\b[\s\S]*qdrant"):
        runtime.up("qdrant", "nonsense")
    assert one(runtime).state == "absent"


def test_scaling_is_refused(runtime: ProcessesRuntime, service: Make) -> None:
    service("qdrant", SLEEPER)
    runtime.scale("qdrant", 1)
    with pytest.raises(ServiceError, match="not scaled"):
        runtime.scale("qdrant", 2)


def test_a_long_log_is_set_aside_at_the_next_start(runtime: ProcessesRuntime, service: Make) -> None:
    directory = service("qdrant", SLEEPER)
    (directory / "log").write_bytes(b"x" * (LOG_LIMIT + 1))
    runtime.up()
    eventually(lambda: said(runtime, "awake"))
    assert runtime.logs("qdrant") == "awake"
    assert (directory / "log.1").stat().st_size == LOG_LIMIT + 1


def test_stats_tell_a_busy_service_from_an_idle_one(runtime: ProcessesRuntime, service: Make) -> None:
    service("qdrant", "print('awake', flush=True)\nwhile True: pass")
    service("memgraph", SLEEPER)
    runtime.up()
    eventually(lambda: said(runtime, "awake") and said(runtime, "awake", "memgraph"))
    stats = {entry.service: entry for entry in runtime.stats()}
    assert stats["qdrant"].cpu_percent > 10 > stats["memgraph"].cpu_percent
    assert min(entry.memory_bytes for entry in stats.values()) > 2**20


def test_versions_of_the_programs_are_known(runtime: ProcessesRuntime, service: Make) -> None:
    service("qdrant", SLEEPER, version="thing 1.2")
    assert runtime.image_digests() == {"qdrant": "thing 1.2"}


def test_exec_streams_fifty_megabytes_through(runtime: ProcessesRuntime, service: Make) -> None:
    service("qdrant", SLEEPER)
    runtime.up()
    piece, count, back = os.urandom(2**20), 50, hashlib.sha256()
    with runtime.exec("qdrant", ["cat"]) as command:

        def send() -> None:
            for _ in range(count):
                command.stdin.write(piece)
            command.stdin.close()

        sender = threading.Thread(target=send)
        sender.start()
        while data := command.stdout.read(2**16):
            back.update(data)
        sender.join()
        assert command.wait(10) == 0
    assert back.digest() == hashlib.sha256(piece * count).digest()


def test_exec_has_the_services_environment_and_programs(
    runtime: ProcessesRuntime, service: Make, tmp_path: Path
) -> None:
    tool = tmp_path / "tools" / "show"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\necho "$OF_SERVICE $OF_EXEC $OF_CALL"\n')
    tool.chmod(0o755)
    service("qdrant", SLEEPER, env={"OF_SERVICE": "a"}, exec_env={"OF_EXEC": "b"}, path=[tool.parent])
    runtime.up()
    with runtime.exec("qdrant", ["show"], env={"OF_CALL": "c"}) as command:
        assert command.stdout.read() == b"a b c\n"


def test_exec_reports_exit_code_and_the_end_of_the_error_stream(runtime: ProcessesRuntime, service: Make) -> None:
    service("qdrant", SLEEPER)
    runtime.up()
    program = "import sys\nfor n in range(20000): print('line', n, file=sys.stderr)\nsys.exit(9)"
    with runtime.exec("qdrant", [sys.executable, "-c", program]) as command:
        assert command.wait(30) == 9
        assert command.stderr_tail().splitlines()[-1] == "line 19999"
        assert len(command.stderr_tail()) < 10_000


def test_leaving_exec_ends_the_command_and_its_children(runtime: ProcessesRuntime, service: Make) -> None:
    service("qdrant", SLEEPER)
    runtime.up()
    with runtime.exec("qdrant", ["sh", "-c", "sleep 600 & echo $!; wait"]) as command:
        child = psutil.Process(int(command.stdout.readline()))
    eventually(lambda: not child.is_running() or child.status() == "zombie")


def test_an_expired_exec_says_what_the_command_said(runtime: ProcessesRuntime, service: Make) -> None:
    service("qdrant", SLEEPER)
    runtime.up()
    with runtime.exec("qdrant", ["sh", "-c", "echo busy >&2; exec sleep 600"]) as command:
        eventually(command.stderr_tail)
        with pytest.raises(ServiceError, match=r"did not end within 0.1 s[\s\S]*busy"):
            command.wait(0.1)


def test_exec_needs_a_running_service(runtime: ProcessesRuntime, service: Make) -> None:
    service("qdrant", SLEEPER)
    with pytest.raises(ServiceError, match="qdrant is absent, not running"):
        runtime.exec("qdrant", ["true"])
