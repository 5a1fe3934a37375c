"""The ways to run a server that refuses to be root."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.runtime.process_spec import write_spec
from archon_dagster.platform.runtime.processes import ProcessesRuntime
from archon_dagster.sandbox import ports, postgres
from archon_dagster_tests.eventually import eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.skipif(os.geteuid() != 0, reason="only as root")]


@pytest.fixture
def no_namespaces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that forbids user namespaces, as Docker does by default."""
    refusing = tmp_path / "unshare"
    refusing.write_text("#!/bin/sh\necho 'unshare: Operation not permitted' >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


@pytest.fixture
def public() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="archon-test-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def programs_are_public() -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in [postgres.programs(), *postgres.programs().parents])


def answers(runtime: ProcessesRuntime) -> bool:
    with runtime.exec("postgres", ["pg_isready"]) as command:
        return command.wait(30) == 0


def test_a_private_home_is_no_obstacle_with_a_user_namespace(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    way = postgres.unprivileged(private / "data")
    if not way.prefix:
        pytest.skip("only on a machine that allows user namespaces")
    postgres.initialise(private / "data", "secret", way)
    assert (private / "data" / "PG_VERSION").read_text().strip() == "18"
    assert (private / "data").stat().st_uid == 0


@pytest.mark.usefixtures("no_namespaces")
def test_without_namespaces_the_server_runs_as_nobody(public: Path) -> None:
    if not programs_are_public():
        pytest.skip("only on an installation that every user may enter")
    data, port = public / "data", ports.any_free()
    way = postgres.unprivileged(data)
    assert way.user is not None
    postgres.initialise(data, "secret", way)
    write_spec(public / "services" / "postgres", postgres.spec(data, port, "secret", way))
    runtime = ProcessesRuntime(public / "services")
    try:
        runtime.up()
        server = psutil.Process(int(runtime.status()[0].instance))
        assert server.uids().real == way.user[0] == data.stat().st_uid
        eventually(lambda: answers(runtime))
    finally:
        runtime.down()


@pytest.mark.usefixtures("no_namespaces")
def test_without_namespaces_the_owner_of_the_home_is_asked_first(public: Path) -> None:
    if not programs_are_public():
        pytest.skip("only on an installation that every user may enter")
    private = public / "private"
    private.mkdir(mode=0o700)
    owner = pwd.getpwnam("daemon")
    os.chown(private, owner.pw_uid, owner.pw_gid)
    assert postgres.unprivileged(private / "data").user == (owner.pw_uid, owner.pw_gid)


def test_a_machine_without_a_user_1000_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without = [entry for entry in pwd.getpwall() if entry.pw_uid != 1000]
    monkeypatch.setattr(pwd, "getpwall", lambda: without)
    way = postgres.unprivileged(tmp_path / "data")
    if not way.prefix:
        pytest.skip("only on a machine that allows user namespaces")
    assert "--map-user=1000" not in way.prefix
    postgres.initialise(tmp_path / "data", "secret", way)
    assert (tmp_path / "data" / "PG_VERSION").is_file()


@pytest.mark.usefixtures("no_namespaces")
def test_where_no_way_works_the_error_says_what_was_tried_and_what_to_do(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    with pytest.raises(ConfigurationError, match=r"refuses to run as root[\s\S]*nobody[\s\S]*ordinary user"):
        postgres.unprivileged(private / "data")
