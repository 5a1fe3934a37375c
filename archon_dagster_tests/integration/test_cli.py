"""`archon` as a user types it, on a running platform: output, JSON and exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from archon_dagster.repository.repository import Repository
from archon_dagster.sandbox import lifecycle
from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.integration.shell import Shell, running_shell
from archon_dagster_tests.processes import remote_ports

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with running_shell(tmp_path_factory.mktemp("cli"), files=12, points=60) as found:
        yield found


@pytest.fixture(scope="module")
def backup(shell: Shell) -> str:
    """One backup, taken by the Dagster job in the command's own process."""
    return str(shell.json("backup")["manifest"]["id"])


def test_a_backup_without_a_webserver_is_a_run_on_the_instance(shell: Shell, backup: str) -> None:
    import dagster as dg

    with dg.DagsterInstance.from_config(str(shell.platform.home / "dagster")) as instance:
        assert [run.tags["archon/backup"] for run in instance.get_runs()] == [backup]
        assert list(instance.get_dynamic_partitions("backups")) == [backup]
        assert instance.event_log_storage.get_pool_limits()[0].limit == 1


def without_dagster(shell: Shell, *words: str, within: float = 240) -> subprocess.CompletedProcess[str]:
    """The command where Dagster is what is broken: it cannot be imported."""
    script = (
        "import sys; sys.modules['dagster'] = None\n"
        "from archon_dagster.cli.main import run\n"
        f"sys.argv = {['archon', *words]!r}\n"
        "run()"
    )
    environment = {**os.environ, "ARCHON_HOME": str(shell.platform.home)}
    return subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True,
                          timeout=within, check=False)  # fmt: skip


def test_a_direct_backup_and_a_direct_restore_need_no_dagster(shell: Shell, backup: str) -> None:
    done = without_dagster(shell, "backup", "--direct", "--json", "--note", "no Dagster")
    assert done.returncode == 0, done.stderr
    taken = json.loads(done.stdout)["manifest"]
    assert taken["note"] == "no Dagster"
    before = shell.json("fingerprint")
    done = without_dagster(shell, "restore", taken["id"], "--only", "graph", "--confirm", "RESTORE", "--direct")
    assert done.returncode == 0, done.stderr
    assert shell.json("fingerprint") == before


def test_the_list_shows_it(shell: Shell, backup: str) -> None:
    entries = shell.json("backups")
    assert backup in [entry["id"] for entry in entries]
    assert backup in shell.run("backups").stdout


@pytest.mark.parametrize("selector", ["latest", "{id}", "{prefix}", "{date}"])
def test_selectors(shell: Shell, backup: str, selector: str) -> None:
    words = selector.format(id=backup, prefix=backup[:18], date=backup[:8])
    assert shell.json("backups", "show", words)["manifest"]["id"].startswith(backup[:8])


def test_verify_reads_every_artifact(shell: Shell, backup: str) -> None:
    found = shell.json("verify", backup)
    assert found["damage"] == []
    assert {artifact["state"] for artifact in found["artifacts"]} == {"verified"}


@pytest.mark.long
def test_a_plan_changes_nothing(shell: Shell, backup: str) -> None:
    before = shell.json("fingerprint")
    plan = shell.json("restore", backup, "--plan")
    assert plan["backup"]["id"] == backup
    assert shell.json("fingerprint") == before


@pytest.mark.long
def test_a_direct_restore_of_one_store(shell: Shell, backup: str) -> None:
    before = shell.json("fingerprint")
    lifecycle.wipe(shell.platform.home, "relational")
    result = shell.json("restore", backup, "--confirm", "RESTORE", "--only", "relational", "--direct")
    assert result["before"] == result["after"]
    assert shell.json("fingerprint") == before


@pytest.mark.long
@pytest.mark.parametrize("direct", [(), ("--direct",)], ids=["dagster", "direct"])
def test_a_backup_that_fails_a_check_is_shown_and_does_not_end_well(
    shell: Shell, backup: str, direct: tuple[str, ...]
) -> None:
    lifecycle.wipe(shell.platform.home, "relational")
    done = shell.run("backup", "--only", "relational", "--json", *direct)
    assert done.returncode == 4, done.stderr
    assert json.loads(done.stdout)["check_state"]["failed"] == ["counts_plausible"]
    assert "was taken and kept, but failed check counts_plausible" in done.stderr
    assert shell.json("backups", "show", "latest")["manifest"]["id"] != json.loads(done.stdout)["manifest"]["id"]
    shell.json("restore", backup, "--confirm", "RESTORE", "--only", "relational", "--direct")
    shell.json("backup", "--only", "configuration", "--direct")  # the last backup is a good one again


def test_an_export_into_a_directory_in_use_is_a_usage_error(shell: Shell, backup: str, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    assert "not empty" in shell.fails(2, "backups", "export", backup, str(tmp_path))


def test_plain_files_and_the_break_glass_reader(shell: Shell, backup: str, tmp_path: Path) -> None:
    shell.json("backups", "export", backup, str(tmp_path / "plain"))
    plain = {path.name for path in (tmp_path / "plain").rglob("*") if path.is_file()}
    extract = Path(shell.platform.settings.repository) / "extract.py"
    done = subprocess.run([sys.executable, str(extract), backup, str(tmp_path / "glass")], check=False)
    assert done.returncode == 0
    assert "manifest.json" in plain
    assert len([path for path in (tmp_path / "glass").rglob("*") if path.is_file()]) >= len(plain) - 1


def test_status_says_what_is_there(shell: Shell, backup: str) -> None:
    status = shell.json("status")
    assert status["last_good_backup"] is not None
    externals = {line["service"] for line in status["services"] if line["state"] == "external"}
    assert externals == {"ollama", "supabase"} and status["next"] == "nothing"
    assert {line["service"] for line in status["services"]} == {*shell.platform.services, *externals}


@pytest.mark.long
def test_an_unknown_backup(shell: Shell, backup: str) -> None:
    assert "there is no backup 'nothing'" in shell.fails(3, "backups", "show", "nothing")
    shell.fails(3, "restore", "19990101", "--confirm", "RESTORE")
    shell.fails(3, "verify", "nothing")


@pytest.mark.parametrize("words", [("restore", "latest"), ("restore", "latest", "--confirm", "yes")])
def test_a_missing_word_touches_nothing(shell: Shell, backup: str, words: tuple[str, ...]) -> None:
    assert "--confirm RESTORE" in shell.fails(2, *words)


@pytest.mark.long
def test_wrong_names_are_usage_errors(shell: Shell) -> None:
    assert "unknown store" in shell.fails(2, "backup", "--only", "everything")
    known = shell.fails(2, "sandbox", "kill", "nothing")
    assert "qdrant" in known and "ollama, supabase" in known
    shell.fails(2, "sandbox", "wipe", "everything")
    shell.fails(2, "nonsense")


def test_a_busy_repository_names_the_holder(shell: Shell) -> None:
    repository = Repository.open(shell.platform.settings.repository, create=True)
    with repository.lock("a test of the lock"):
        assert "a test of the lock" in shell.fails(5, "backup", "--direct")
        assert "a test of the lock" in shell.fails(5, "backup")


@pytest.mark.long
def test_a_service_that_is_down(shell: Shell, backup: str) -> None:
    lifecycle.kill(shell.platform.home, "qdrant")
    assert "Qdrant" in shell.fails(6, "backup", "--direct")
    assert shell.json("status", code=6)["next"].endswith("qdrant")
    assert shell.run("sandbox", "start", "qdrant").returncode == 0
    shell.json("status")


def test_a_damaged_backup_is_named(shell: Shell) -> None:
    manifest = shell.json("backup", "--direct", "--only", "configuration", "--note", "to be damaged")["manifest"]
    chunk = manifest["artifacts"][0]["chunks"][0]["sha256"]
    path = Path(shell.platform.settings.repository) / "chunks" / chunk[:2] / chunk
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    done = shell.run("verify", manifest["id"])
    assert done.returncode == 4
    for said in (done.stdout, done.stderr):
        assert manifest["id"] in said
        assert chunk[:12] in said


@pytest.mark.long
def test_servers_that_run_elsewhere_are_backed_up_and_restored(shell: Shell, tmp_path: Path) -> None:
    settings = shell.platform.settings
    password = settings.postgres_password.get_secret_value() if settings.postgres_password else ""
    elsewhere = {
        **{
            name: value for name, value in shell.platform.environment.items() if name.startswith(("QDRANT", "MEMGRAPH"))
        },
        "ARCHON_RUNTIME": "elsewhere",
        "ARCHON_HOME": str(tmp_path / "home"),
        "ARCHON_PROJECT_DIR": str(settings.project_dir),
        "POSTGRES_DSN": f"postgresql://{settings.postgres_user}:{password}"
        f"@{settings.postgres_host}:{settings.postgres_port}/{settings.postgres_db}",
    }

    def archon(*words: str) -> Any:
        command = [sys.executable, "-m", "archon_dagster.cli", *words, "--json"]
        environment = {**os.environ, **elsewhere}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr
        assert password not in done.stdout + done.stderr
        return json.loads(done.stdout)

    before = archon("fingerprint")
    manifest = archon("backup", "--direct")["manifest"]
    assert manifest["window"]["consistent"] is False
    lifecycle.wipe(shell.platform.home, "relational")
    result = archon("restore", "latest", "--confirm", "RESTORE", "--only", "relational", "--direct")
    assert result["before"] == result["after"]
    assert archon("fingerprint") == before
    assert archon("status")["next"] == "nothing"


def test_seeding_what_is_down_says_what_to_start(shell: Shell) -> None:
    lifecycle.kill(shell.platform.home, "qdrant")
    try:
        said = shell.fails(6, "sandbox", "seed")
    finally:
        lifecycle.start(shell.platform.home, "qdrant")
    assert "qdrant does not answer; nothing was written" in said
    assert "archon sandbox start qdrant" in said


@pytest.mark.long
def test_a_direct_backup_that_is_interrupted_says_so_and_leaves_nothing(shell: Shell, tmp_path: Path) -> None:
    repository = Repository.open(shell.platform.settings.repository, create=True)
    before = [entry.id for entry in repository.backups()]
    errors = tmp_path / "errors"
    shell.platform.runtime.pause("qdrant")
    try:
        with errors.open("w") as output:
            command = subprocess.Popen(
                [sys.executable, "-m", "archon_dagster.cli", "backup", "--direct"],
                env={**os.environ, "ARCHON_HOME": str(shell.platform.home)},
                stdout=subprocess.DEVNULL,
                stderr=output,
            )
        port = urlsplit(shell.platform.settings.qdrant_url).port
        eventually(lambda: port in remote_ports(command.pid), 60)
        command.send_signal(signal.SIGINT)
        assert command.wait(60) == 130
    finally:
        shell.platform.runtime.unpause("qdrant")
    said = errors.read_text()
    assert "interrupted: what was begun has been removed" in said
    assert "cancelled" in said
    assert "Traceback" not in said
    assert [entry.id for entry in repository.backups()] == before
    assert repository.holder() is None
    assert {status.state for status in shell.platform.runtime.status()} == {"running"}


@pytest.mark.long
def test_status_names_an_emptied_store_and_the_way_back(shell: Shell) -> None:
    good = shell.json("backup", "--direct", "--accept-counts")["manifest"]["id"]
    lifecycle.wipe(shell.platform.home, "graph")
    found = shell.json("status", code=6)
    assert [(loss["store"], loss["records"]) for loss in found["losses"]] == [("graph", 0)]
    assert found["next"].endswith(f"archon restore {good} --only graph --plan")
    assert "lost: graph holds 0 records" in shell.run("status").stdout

    shell.fails(4, "backup", "--direct")  # the emptied graph is not plausible
    shell.json("restore", good, "--only", "graph", "--confirm", "RESTORE", "--direct")
    found = shell.json("status", code=4)
    assert "counts_plausible" in found["last_backup_trouble"]
    assert found["last_good_backup"] == good
    assert found["next"].endswith("archon backup")

    shell.json("backup", "--direct")
    assert shell.json("status")["next"] == "nothing"


def test_status_answers_within_its_time_when_every_server_is_frozen_and_without_dagster(shell: Shell) -> None:
    good = shell.json("backup", "--direct")["manifest"]["id"]
    services = shell.platform.services
    shell.platform.runtime.pause(*services)
    try:
        done = without_dagster(shell, "status", "--json", within=40)
    finally:
        shell.platform.runtime.unpause(*services)
    assert done.returncode == 6, done.stderr
    found = json.loads(done.stdout)
    assert {line["ready"] for line in found["services"] if line["state"] != "external"} == {False}
    assert "archon sandbox kill" in found["next"]
    assert found["last_good_backup"] == good
