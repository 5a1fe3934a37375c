"""Changing the configuration of a platform of real servers: what is applied is read, what fails is taken back."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest

from archon_dagster.configuration.apply import ApplyRequest, Change, apply
from archon_dagster.configuration.context import ConfigurationContext
from archon_dagster.configuration.history import History
from archon_dagster.configuration.journal import JournalFile
from archon_dagster.configuration.live import ask_servers
from archon_dagster.configuration.sensors import configuration_changed_by_hand
from archon_dagster.configuration.status import standing
from archon_dagster.configuration.validation import validate
from archon_dagster.errors import ConfigurationError, RepositoryBusy, ServiceError
from archon_dagster.platform.readiness import wait_until_ready
from archon_dagster.platform.settings import Settings
from archon_dagster.repository.repository import Repository
from archon_dagster.resources import Operations
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster.sandbox.seed import seed
from archon_dagster_tests.platforms import RUNTIME, running_platform

pytestmark = [pytest.mark.sandbox, pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A platform of this module's own, with a repository: its lock is taken too."""
    home = tmp_path_factory.mktemp("configuration")
    with running_platform(home) as sandbox:
        seed(sandbox.settings, sandbox.runtime, limit=4, max_points=20)
        Repository.open(sandbox.settings.repository, create=True)
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Iterator[Sandbox]:
    """The platform with the file it had at first; services that had another one are replaced."""
    before = running.env_file.read_bytes()
    yield running
    JournalFile(running.home).end()
    if running.env_file.read_bytes() != before:
        running.env_file.write_bytes(before)
        running.runtime.recreate("archon-bridge", "archon-intelligence", "archon-search", "archon-mcp")
    wait_until_ready(running.services, running.settings, running.runtime)


def changed(sandbox: Sandbox, **variables: str) -> bytes:
    """The platform's file with other values."""
    lines = [line for line in sandbox.env_file.read_text().splitlines() if line.partition("=")[0] not in variables]
    return "\n".join([*lines, *(f"{key}={value}" for key, value in variables.items()), ""]).encode()


def apply_(sandbox: Sandbox, content: bytes, *, patience: float = 1.0, offline: bool = False) -> Change:
    file = sandbox.home / "next.env"
    file.write_bytes(content)
    settings = sandbox.settings.model_copy(update={"start_patience": patience})
    context = ConfigurationContext(settings, sandbox.runtime, lambda: settings, cancel=threading.Event())
    return apply(context, ApplyRequest(file, "APPLY", offline))


def instances(sandbox: Sandbox) -> dict[str, str]:
    return {one.service: one.instance for one in sandbox.runtime.status() if one.state == "running"}


def reads(sandbox: Sandbox, service: str, variable: str) -> str | None:
    """What the process of a service, the first one of its container, was really given."""
    pid = "1" if RUNTIME == "compose" else instances(sandbox)[service]
    with sandbox.runtime.exec(service, ["cat", f"/proc/{pid}/environ"]) as command:
        command.stdin.close()
        said = command.stdout.read().decode()
        assert command.wait(30.0) == 0, command.stderr_tail()
    return dict(line.split("=", 1) for line in said.split("\0") if line).get(variable)


def archon(sandbox: Sandbox, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "archon_dagster.cli", "config", *words]
    environment = {**os.environ, "ARCHON_HOME": str(sandbox.home)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)


def said(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def test_the_sandboxs_own_file_is_good(sandbox: Sandbox) -> None:
    found = ask_servers(validate(sandbox.env_file.read_bytes()), sandbox.settings)
    assert found.errors == ()


def test_the_service_that_reads_it_works_by_it_and_the_others_go_on(sandbox: Sandbox) -> None:
    before, number = instances(sandbox), sandbox.settings.search_port
    document = {"document_id": "configuration-test", "content": "a change of the configuration", "project_id": "test"}

    def refreshed() -> bool:
        url = f"http://127.0.0.1:{number}/vectorize/document"
        return bool(httpx.post(url, json=document, timeout=30.0, trust_env=False).json()["index_refreshed"])

    assert refreshed() is False
    change = apply_(sandbox, changed(sandbox, AUTO_REFRESH_ENABLED="true"))
    assert change.replaced == ("archon-search",)
    assert refreshed() is True
    after = instances(sandbox)
    assert {name for name in before if before[name] != after[name]} == {"archon-search"}
    assert stat.S_IMODE(sandbox.env_file.stat().st_mode) == 0o600


def test_a_file_that_cuts_search_off_from_qdrant_is_taken_back(sandbox: Sandbox) -> None:
    before = sandbox.env_file.read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = listener.getsockname()[1]
    for year in ("2024", "2025"):
        (sandbox.env_file.parent / f".env.backup.{year}").write_text("OLDER=1\n")
    with pytest.raises(ServiceError, match=r"not kept[\s\S]*byte for byte"):
        apply_(sandbox, changed(sandbox, QDRANT_URL=f"http://127.0.0.1:{nobody}"), patience=0.1, offline=True)
    assert sandbox.env_file.read_bytes() == before
    wait_until_ready(sandbox.services, sandbox.settings, sandbox.runtime, 1.0)  # it was well when apply returned
    assert reads(sandbox, "archon-search", "QDRANT_URL") == sandbox.settings.qdrant_url
    assert History(sandbox.home).all()[0].result == "returned"


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"EMBEDDING_DIMENSIONS": "768"}, r"returns 1536 numbers, EMBEDDING_DIMENSIONS is 768[\s\S]*"
         r"the vectors of archon_vectors have 1536 dimensions"),
        ({"EMBEDDING_MODEL": "not-there:latest"}, "the model not-there:latest is not there"),
        ({"SUPABASE_SERVICE_KEY": "sb_secret_wrong"}, "supabase: HTTP 401"),
    ],
    ids=["dimension", "model", "key"],
)  # fmt: skip
def test_the_servers_that_a_change_concerns_are_asked_before_anything_is_touched(
    sandbox: Sandbox, variables: dict[str, str], told: str
) -> None:
    before, file = instances(sandbox), sandbox.env_file.read_bytes()
    with pytest.raises(ConfigurationError, match=told) as raised:
        apply_(sandbox, changed(sandbox, **variables))
    assert "sb_secret_wrong" not in str(raised.value)
    assert instances(sandbox) == before
    assert sandbox.env_file.read_bytes() == file


def test_nobody_changes_it_while_somebody_else_is_at_work(sandbox: Sandbox) -> None:
    before = sandbox.env_file.read_bytes()
    with Repository.open(sandbox.settings.repository).lock("backup"), pytest.raises(RepositoryBusy, match="backup"):
        apply_(sandbox, changed(sandbox, LOG_LEVEL="DEBUG"))
    assert sandbox.env_file.read_bytes() == before


def test_killed_half_way_the_command_line_says_where_it_stands_and_goes_back(sandbox: Sandbox, tmp_path: Path) -> None:
    before, file = sandbox.env_file.read_bytes(), tmp_path / "new.env"
    file.write_bytes(changed(sandbox, MEMGRAPH_DATABASE="", LOG_LEVEL="DEBUG"))
    command = [
        sys.executable,
        "-m",
        "archon_dagster.cli",
        "config",
        "apply",
        str(file),
        "--confirm",
        "APPLY",
        "--direct",
    ]
    environment = {**os.environ, "ARCHON_HOME": str(sandbox.home)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        next(line for line in running.stderr if "archon-bridge" in line)  # the first one has the new file
        running.send_signal(signal.SIGKILL)
        assert running.wait(30) == -signal.SIGKILL
    assert sandbox.env_file.read_bytes() == file.read_bytes()
    status = archon(sandbox, "status", "--json")
    assert status.returncode == 1
    assert said(status)["says"] == "the new file is in place, as a whole"
    undone = archon(sandbox, "undo", "--confirm", "APPLY", "--direct", "--json")
    assert undone.returncode == 0, undone.stderr
    assert sandbox.env_file.read_bytes() == before
    assert reads(sandbox, "archon-bridge", "LOG_LEVEL") == "INFO"
    assert archon(sandbox, "status").returncode == 0


def test_the_job_applies_and_undoes_and_the_history_tells(sandbox: Sandbox, tmp_path: Path) -> None:
    before, file = sandbox.env_file.read_bytes(), tmp_path / "new.env"
    file.write_bytes(changed(sandbox, VECTOR_SEARCH_TIMEOUT="7000"))
    plan = archon(sandbox, "apply", str(file), "--plan", "--json")
    assert said(plan)["replaced"] == ["archon-search"]
    applied = archon(sandbox, "apply", str(file), "--confirm", "APPLY", "--json")
    assert applied.returncode == 0, applied.stderr
    assert reads(sandbox, "archon-search", "VECTOR_SEARCH_TIMEOUT") == "7000"
    undone = archon(sandbox, "undo", "--confirm", "APPLY", "--json")
    assert undone.returncode == 0, undone.stderr
    assert sandbox.env_file.read_bytes() == before
    newest = said(archon(sandbox, "history", "--json"))[:2]
    assert [(one["kind"], one["result"], one["origin"]) for one in newest] == [
        ("undo", "applied", "dagster"), ("apply", "applied", "dagster"),
    ]  # fmt: skip
    assert standing(sandbox.settings).interrupted is None


def test_a_change_by_hand_is_noticed_backed_up_and_can_be_undone(sandbox: Sandbox) -> None:
    class Here(Operations):
        def settings(self) -> Settings:
            return sandbox.settings

    cursor: str | None = None

    def look(instance: dg.DagsterInstance) -> dg.SensorResult | dg.SkipReason:
        nonlocal cursor
        context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"operations": Here()})
        came = configuration_changed_by_hand(context)
        assert isinstance(came, dg.SensorResult | dg.SkipReason)
        cursor = context.cursor
        return came

    before = sandbox.env_file.read_bytes()
    with dg.instance_for_test() as instance:
        assert isinstance(look(instance), dg.SkipReason)
        sandbox.env_file.write_bytes(changed(sandbox, VECTOR_SEARCH_TIMEOUT="9000"))
        sandbox.runtime.recreate("archon-search")
        came = look(instance)
    assert isinstance(came, dg.SensorResult)
    (run,) = came.run_requests or ()
    assert "VECTOR_SEARCH_TIMEOUT" in run.run_config["ops"]["take_backup"]["config"]["note"]
    assert reads(sandbox, "archon-search", "VECTOR_SEARCH_TIMEOUT") == "9000"
    wait_until_ready(sandbox.services, sandbox.settings, sandbox.runtime)
    undone = archon(sandbox, "undo", "--confirm", "APPLY", "--direct")
    assert undone.returncode == 0, undone.stderr
    assert sandbox.env_file.read_bytes() == before
    assert reads(sandbox, "archon-search", "VECTOR_SEARCH_TIMEOUT") != "9000"


def test_exit_codes_say_how_bad_it_is(sandbox: Sandbox, tmp_path: Path) -> None:
    codes = {}
    for name, more in (("fine", {}), ("odd", {"SOME_OTHER_NAME": "1"}), ("bad", {"BATCH_SIZE": "many"})):
        file = tmp_path / name
        file.write_bytes(changed(sandbox, **more))
        codes[name] = archon(sandbox, "validate", str(file), "--live").returncode
    assert codes == {"fine": 0, "odd": 1, "bad": 2}
