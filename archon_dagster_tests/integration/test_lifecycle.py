"""The sandbox's life with real servers: up, killed, wiped, orphaned, down."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import neo4j
import psutil
import pytest

from archon_dagster.errors import ConfigurationError, ServiceError
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.sandbox import lifecycle, listening
from archon_dagster.sandbox.layout import EXTERNALS
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.processes import processes_under

pytestmark = [pytest.mark.sandbox, pytest.mark.long]

FAKE = Path(__file__).parents[1] / "fake_server.py"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home of the test's own; whatever runs in it is brought down."""
    yield tmp_path / "home"
    lifecycle.down(tmp_path / "home")


def sql(sandbox: Sandbox, statement: str) -> str:
    with sandbox.runtime.exec("postgres", ["psql", "-qXAt", "-v", "ON_ERROR_STOP=1", "-c", statement]) as command:
        command.stdin.close()
        answer = command.stdout.read().decode()
        assert command.wait(30) == 0, command.stderr_tail()
    return answer.strip()


def cypher(settings: Settings, query: str, **parameters: Any) -> list[neo4j.Record]:
    login = (settings.memgraph_user, settings.memgraph_password.get_secret_value())
    with neo4j.GraphDatabase.driver(settings.memgraph_uri, auth=login if any(login) else None) as driver:
        return driver.execute_query(query, parameters, database_=settings.memgraph_database).records


def states(sandbox: Sandbox) -> dict[str, str]:
    return {status.service: status.state for status in sandbox.runtime.status()}


def test_everything_is_up_and_well(sandbox: Sandbox) -> None:
    views = lifecycle.status(sandbox.home)
    assert [(view.service, view.state, view.healthy) for view in views] == [
        (name, "running", True) for name in (*sandbox.services, *EXTERNALS)
    ]
    assert {"memgraph", "postgres"} <= set(sandbox.services)


def test_every_listener_is_on_the_loopback_interface(sandbox: Sandbox) -> None:
    roots = [psutil.Process(int(status.instance)) for status in sandbox.runtime.status()]
    family = [member for root in roots for member in (root, *root.children(recursive=True))]
    addresses = [
        c.laddr.ip for process in family for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN
    ]
    assert len(addresses) >= len(roots)
    assert set(addresses) <= {"127.0.0.1", "::ffff:127.0.0.1"}


def test_no_password_is_visible_in_the_process_list(sandbox: Sandbox) -> None:
    secrets = [value for key, value in sandbox.environment.items() if ("PASSWORD" in key or "KEY" in key) and value]
    listed = "\n".join(" ".join(command) for command in processes_under(sandbox.home))
    assert str(sandbox.home) in listed
    assert [secret for secret in secrets if secret in listed or secret in repr(sandbox)] == []


def test_files_with_passwords_are_their_owners_only(sandbox: Sandbox) -> None:
    secret = sandbox.environment["POSTGRES_PASSWORD"].encode()
    holding = [
        file
        for folder in ("platform", "services", "sandbox")
        for file in (sandbox.home / folder).rglob("*")
        if file.is_file() and secret in file.read_bytes()
    ]
    assert sandbox.env_file in holding
    assert {stat.S_IMODE(file.stat().st_mode) for file in holding} == {0o600}


def test_a_control_plane_with_this_home_finds_the_platform(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHON_HOME", str(sandbox.home))
    found = load_settings()
    assert found.runtime == "processes"
    assert (found.qdrant_url, found.memgraph_uri, found.postgres_port) == (
        sandbox.settings.qdrant_url, sandbox.settings.memgraph_uri, sandbox.settings.postgres_port)  # fmt: skip


def test_what_runs_is_left_alone_by_another_up(sandbox: Sandbox) -> None:
    before = sandbox.runtime.status(), sandbox.environment
    again = lifecycle.up(sandbox.home)
    assert (again.runtime.status(), again.environment) == before


def test_postgres_keeps_what_was_committed_through_a_kill(sandbox: Sandbox) -> None:
    sql(sandbox, "CREATE TABLE kept (id int); INSERT INTO kept SELECT generate_series(1, 1000)")
    lifecycle.kill(sandbox.home, "postgres")
    assert states(sandbox)["postgres"] == "exited"
    lifecycle.start(sandbox.home, "postgres")
    assert sql(sandbox, "SELECT count(*) FROM kept; DROP TABLE kept") == "1000"


def test_the_graph_keeps_what_was_committed_through_a_kill(sandbox: Sandbox) -> None:
    cypher(sandbox.settings, "UNWIND range(1, 1000) AS i CREATE (:Kept {i: i})")
    lifecycle.kill(sandbox.home, "memgraph")
    lifecycle.start(sandbox.home, "memgraph")
    (record,) = cypher(sandbox.settings, "MATCH (n:Kept) RETURN count(n) AS count")
    cypher(sandbox.settings, "MATCH (n:Kept) DETACH DELETE n")
    assert record["count"] == 1000


def test_postgres_is_durable(sandbox: Sandbox) -> None:
    assert sql(sandbox, "SHOW fsync") == "on"


def test_a_paused_database_is_seen_as_paused_and_goes_on(sandbox: Sandbox) -> None:
    sandbox.runtime.pause("postgres")
    view = next(view for view in lifecycle.status(sandbox.home) if view.service == "postgres")
    assert (view.state, view.healthy) == ("paused", None)
    sandbox.runtime.unpause("postgres")
    assert sql(sandbox, "SELECT 1") == "1"


def test_a_wiped_store_is_empty_and_answers_at_the_same_address(sandbox: Sandbox) -> None:
    sql(sandbox, "CREATE TABLE gone (id int)")
    cypher(sandbox.settings, "CREATE (:Gone)")
    before = sandbox.environment
    for store in ("relational", "graph"):
        lifecycle.wipe(sandbox.home, store)
    assert sandbox.environment == before
    assert sql(sandbox, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0"
    assert cypher(sandbox.settings, "MATCH (n) RETURN count(n) AS count")[0]["count"] == 0


def test_an_unknown_store_is_not_wiped(sandbox: Sandbox) -> None:
    with pytest.raises(ConfigurationError, match=r"no such store: everything[\s\S]*relational"):
        lifecycle.wipe(sandbox.home, "everything")


def test_a_second_sandbox_runs_beside_the_first_and_comes_back_as_it_was(sandbox: Sandbox, home: Path) -> None:
    second = lifecycle.up(home)
    before = second.environment
    mine, its = sandbox.settings, second.settings
    assert {mine.qdrant_url, mine.memgraph_uri, mine.postgres_port, mine.search_port}.isdisjoint(
        {its.qdrant_url, its.memgraph_uri, its.postgres_port, its.search_port}
    )
    sql(second, "CREATE TABLE only_here (id int)")
    assert sql(sandbox, "SELECT count(*) FROM pg_tables WHERE tablename = 'only_here'") == "0"
    lifecycle.down(home)
    assert processes_under(home) == []
    assert set(states(sandbox).values()) == {"running"}
    again = lifecycle.up(home)
    assert again.environment == before
    assert sql(again, "SELECT count(*) FROM pg_tables WHERE tablename = 'only_here'") == "1"


def test_a_port_that_somebody_else_has_taken_meanwhile_is_chosen_anew(home: Path) -> None:
    sandbox = lifecycle.up(home)
    before = sandbox.settings
    lifecycle.kill(home, "postgres")
    with socket.create_server(("127.0.0.1", before.postgres_port)):
        lifecycle.up(home)
    assert sandbox.settings.postgres_port != before.postgres_port
    assert sandbox.settings.memgraph_uri == before.memgraph_uri
    assert sql(sandbox, "SELECT 1") == "1"


def test_a_server_whose_port_is_held_by_a_stranger_is_not_taken_for_ready(sandbox: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        assert not listening.wait_for_port(sandbox.runtime, "postgres", port, 5.0, lambda: None)
    assert listening.wait_for_port(sandbox.runtime, "postgres", sandbox.settings.postgres_port, 5.0, lambda: None)


OWNER = (
    "import os, pathlib, sys\n"
    "from archon_dagster.sandbox import lifecycle\n"
    "lifecycle.up(pathlib.Path(sys.argv[1]), owner_pid=os.getpid())\n"
    "print('up', flush=True)\n"
    "sys.stdin.read()"
)


def test_nothing_is_left_of_a_sandbox_whose_owner_was_killed(home: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        assert lifecycle.owner(home) == owner.pid
        assert len(processes_under(home)) > 3
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        # the guardian included
        eventually(lambda: processes_under(home) == [], within=30)
    assert [view.state for view in lifecycle.status(home)] == ["absent"] * len(lifecycle.status(home))


def test_a_sandbox_that_has_an_owner_is_not_taken_over(home: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        lifecycle.up(home, owner_pid=os.getpid())
        assert lifecycle.owner(home) == owner.pid
        lifecycle.down(home)
        assert processes_under(home) == [[sys.executable, "-c", OWNER, str(home)]]
        owner.communicate()


def test_a_sandbox_without_owner_stays_until_down(home: Path) -> None:
    program = OWNER.replace("owner_pid=os.getpid()", "").replace("sys.stdin.read()", "os.kill(os.getpid(), 9)")
    subprocess.run([sys.executable, "-c", program, str(home)], check=False, timeout=60, stdout=subprocess.DEVNULL)
    assert {view.state for view in lifecycle.status(home)} == {"running"}
    lifecycle.down(home)
    assert processes_under(home) == []


def test_down_where_there_is_no_sandbox_does_nothing(tmp_path: Path) -> None:
    lifecycle.down(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_a_platform_that_the_sandbox_did_not_make_is_refused_and_left_as_it_is(home: Path) -> None:
    precious = home / "platform" / ".env"
    precious.parent.mkdir(parents=True)
    precious.write_text("QDRANT_URL=https://production.example\n")
    with pytest.raises(ConfigurationError, match="did not make"):
        lifecycle.up(home)
    assert precious.read_text() == "QDRANT_URL=https://production.example\n"
    assert [entry.name for entry in precious.parent.iterdir()] == [".env"]


def test_a_failed_start_says_why_and_leaves_nothing_running(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHON_SANDBOX_QDRANT", "sh -c 'echo cannot open storage >&2; exit 4'")
    with pytest.raises(ServiceError, match=r"qdrant is not ready[\s\S]*code 4[\s\S]*cannot open storage"):
        lifecycle.up(home, owner_pid=os.getpid())
    assert processes_under(home) == []
    assert lifecycle.owner(home) is None


@pytest.fixture
def real_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Programs in the place of real servers, each behind a wrapper; returns where they note how they were called."""
    records = {name: tmp_path / f"{name} record" for name in ("qdrant", "memgraph")}
    for name, record in records.items():
        wrapper = tmp_path / f"{name} wrapper"
        wrapper.write_text(f'#!/bin/sh\n{sys.executable} {FAKE} {name} "$@"\n')
        wrapper.chmod(0o755)
        monkeypatch.setenv(f"ARCHON_SANDBOX_{name.upper()}", f"'{wrapper}' '{record}'")
    return records


def test_a_real_qdrant_is_configured_by_its_environment(home: Path, real_servers: dict[str, Path]) -> None:
    sandbox = lifecycle.up(home)
    call = json.loads(real_servers["qdrant"].read_text())
    given, data = call["environment"], Path(call["cwd"])
    assert data.is_relative_to(sandbox.home / "data" / "qdrant")
    assert sandbox.settings.qdrant_url == f"http://127.0.0.1:{given['QDRANT__SERVICE__HTTP_PORT']}"
    grpc = given.pop("QDRANT__SERVICE__GRPC_PORT")
    assert grpc != given["QDRANT__SERVICE__HTTP_PORT"]
    assert given == {
        "QDRANT__SERVICE__HOST": "127.0.0.1",
        "QDRANT__SERVICE__HTTP_PORT": given["QDRANT__SERVICE__HTTP_PORT"],
        "QDRANT__STORAGE__STORAGE_PATH": str(data / "storage"),
        "QDRANT__STORAGE__SNAPSHOTS_PATH": str(data / "snapshots"),
        "QDRANT__TELEMETRY_DISABLED": "true",
    }
    assert call["flags"] == []


def test_a_real_memgraph_is_configured_by_its_flags(home: Path, real_servers: dict[str, Path]) -> None:
    sandbox = lifecycle.up(home)
    flags = dict(flag[2:].split("=", 1) for flag in json.loads(real_servers["memgraph"].read_text())["flags"])
    assert sandbox.settings.memgraph_uri == f"bolt://127.0.0.1:{flags['bolt-port']}"
    assert Path(flags["data-directory"]).is_relative_to(sandbox.home / "data" / "graph")
    assert len({flags["bolt-port"], flags["monitoring-port"], flags["metrics-port"]}) == 3
    for name, value in {
        "bolt-address": "127.0.0.1",
        "monitoring-address": "127.0.0.1",
        "metrics-address": "127.0.0.1",
        "telemetry-enabled": "false",
        "storage-properties-on-edges": "true",
        "storage-wal-enabled": "true",
    }.items():
        assert flags[name] == value
    assert sandbox.settings.memgraph_user == ""


def test_real_servers_go_with_their_wrappers(home: Path, real_servers: dict[str, Path]) -> None:
    lifecycle.up(home)
    assert any(str(FAKE) in command for command in processes_under(real_servers["qdrant"]))
    lifecycle.down(home)
    assert [c for record in real_servers.values() for c in processes_under(record)] == []


def test_the_sandboxs_own_servers_come_back_when_the_real_ones_are_not_asked_for(
    home: Path, real_servers: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_real = lifecycle.up(home)
    assert "Memgraph" in with_real.runtime.image_digests()["memgraph"]
    lifecycle.down(home)
    monkeypatch.delenv("ARCHON_SANDBOX_QDRANT")
    monkeypatch.delenv("ARCHON_SANDBOX_MEMGRAPH")
    again = lifecycle.up(home)
    assert "ArcadeDB" in again.runtime.image_digests()["memgraph"]
    assert again.settings.memgraph_user == "root"


def test_real_servers_and_the_sandboxs_own_take_turns_without_losing_a_password(
    home: Path, real_servers: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = dict.fromkeys(("ARCHON_SANDBOX_QDRANT", "ARCHON_SANDBOX_MEMGRAPH"))
    for name in real:
        real[name] = os.environ[name]
        monkeypatch.delenv(name)
    cypher(lifecycle.up(home).settings, "CREATE (:Kept)")
    lifecycle.down(home)
    for name, command in real.items():
        monkeypatch.setenv(name, str(command))
    lifecycle.up(home)
    lifecycle.down(home)
    for name in real:
        monkeypatch.delenv(name)
    assert cypher(lifecycle.up(home).settings, "MATCH (n:Kept) RETURN count(n) AS count")[0]["count"] == 1


def test_an_env_file_that_was_restored_or_lost_does_not_mislead(home: Path) -> None:
    sandbox = lifecycle.up(home)
    port = sandbox.settings.postgres_port
    sandbox.env_file.write_text("POSTGRES_PORT=1\nPOSTGRES_PASSWORD=\nLOG_LEVEL=DEBUG\n")
    again = lifecycle.up(home)
    assert again.settings.postgres_port == port
    assert again.environment["LOG_LEVEL"] == "DEBUG"
    lifecycle.down(home)
    sandbox.env_file.unlink()
    assert sql(lifecycle.up(home), "SELECT 1") == "1"


def test_two_sandboxes_that_start_at_the_same_time_do_not_meet(tmp_path: Path) -> None:
    homes = [tmp_path / "one", tmp_path / "two"]
    program = OWNER.replace("owner_pid=os.getpid()", "").replace("sys.stdin.read()", "")
    starts = [subprocess.Popen([sys.executable, "-c", program, str(home)], stdout=subprocess.DEVNULL) for home in homes]
    try:
        assert [start.wait(120) for start in starts] == [0, 0]
        first, second = (lifecycle.up(home) for home in homes)
        sql(first, "CREATE TABLE mine (id int)")
        assert sql(second, "SELECT count(*) FROM pg_tables WHERE tablename = 'mine'") == "0"
        cypher(first.settings, "CREATE (:Mine)")
        assert cypher(second.settings, "MATCH (n) RETURN count(n) AS count")[0]["count"] == 0
    finally:
        for home in homes:
            lifecycle.down(home)
    assert processes_under(tmp_path) == []
