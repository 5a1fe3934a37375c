"""`archon maintenance`, `archon security-updates` and the verbs of retention as a user types them: what they say, how
they end, and what is on the disk then."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.context import open_context
from archon_dagster.maintenance import journal as journals
from archon_dagster.repository.repository import Repository
from archon_dagster_tests.integration.shell import Shell, running_shell
from archon_dagster_tests.platforms import only_processes

pytestmark = [pytest.mark.sandbox, pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with running_shell(tmp_path_factory.mktemp("cli-maintenance"), files=6, points=30) as found:
        yield found


@pytest.fixture(autouse=True)
def no_run_before(shell: Shell) -> None:
    journals.path(shell.platform.home).unlink(missing_ok=True)


def reports(shell: Shell) -> list[Path]:
    return sorted((shell.platform.home / "maintenance" / "reports").glob("*.md"))


# maintenance ---------------------------------------------------------------------------------------------------------


def test_before_the_first_run_the_status_says_so(shell: Shell) -> None:
    assert "no maintenance has been done here yet: archon maintenance run" in shell.run("maintenance", "status").stdout
    assert shell.json("maintenance", "status") is None


def test_a_plan_names_the_steps_and_does_none(shell: Shell) -> None:
    rows = shell.json("maintenance", "run", "--plan", "--steps", "vacuum,backup")
    assert [(row["step"], row["effect"]) for row in rows] == [("backup", "protects"), ("vacuum", "changes or deletes")]
    assert "VACUUM (ANALYZE)" in shell.run("maintenance", "run", "--plan").stdout
    assert shell.json("maintenance", "status") is None


@pytest.mark.parametrize("direct", [(), ("--direct",)], ids=["dagster", "direct"])
def test_chosen_steps_are_done_in_their_own_order_and_kept(shell: Shell, direct: tuple[str, ...]) -> None:
    before = len(reports(shell))
    done = shell.json("maintenance", "run", "--steps", "disk,vacuum", *direct)
    found = shell.json("maintenance", "status")
    assert (found["summary"], found["steps"]) == ("the maintenance is done", ["vacuum", "disk"])
    assert {result["state"] for result in found["results"].values()} == {"done"}
    assert done == found if direct else done["run_id"] and done["result"] == found["summary"]
    assert len(reports(shell)) == before + 1
    assert "dead rows" in reports(shell)[-1].read_text()
    assert "dead rows" in shell.run("maintenance", "status").stdout


@pytest.mark.parametrize("direct", [(), ("--direct",)], ids=["dagster", "direct"])
def test_a_failed_step_is_an_exit_code_of_one_and_says_what_to_type(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, direct: tuple[str, ...]
) -> None:
    monkeypatch.setenv("ARCHON_MAINTENANCE_DISK_CRITICAL", "1e-9")
    said = shell.fails(1, "maintenance", "run", "--steps", "disk,vacuum", *direct)
    assert "disk failed: a disk is nearly full" in said
    assert "archon maintenance run --steps disk" in said
    states = {name: result["state"] for name, result in shell.json("maintenance", "status")["results"].items()}
    assert states == {"vacuum": "done", "disk": "failed"}


def test_a_warning_is_no_failure_and_is_in_the_status_the_report_and_the_run(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHON_MAINTENANCE_DISK_WARN", "1e-9")
    run_id = shell.json("maintenance", "run", "--steps", "disk")["run_id"]
    headline = "the maintenance is done, with a warning: disk"
    assert shell.json("maintenance", "status")["summary"] == headline
    assert headline in shell.run("maintenance", "status").stdout
    with dg.DagsterInstance.from_config(str(shell.platform.home / "dagster")) as instance:
        (output,) = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_OUTPUT)
    assert output.dagster_event is not None
    summary = output.dagster_event.step_output_data.metadata["summary"].value
    for text in (str(summary), reports(shell)[-1].read_text()):
        assert headline in text and "bytes used (warning)" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--steps", "disk,defrag"), "no such step: defrag; nothing was touched"),
        (("--steps", "packages", "--install-packages", "yes"), "type INSTALL-PACKAGES"),
    ],
)
def test_what_is_typed_wrong_is_refused_before_anything_is_done(
    shell: Shell, words: tuple[str, ...], said: str
) -> None:
    assert said in shell.fails(2, "maintenance", "run", *words)
    assert shell.json("maintenance", "status") is None


def test_a_step_waits_for_nobody_who_is_at_work(shell: Shell) -> None:
    with Repository.open(shell.platform.settings.repository, create=True).lock("a test of the lock"):
        assert "a test of the lock" in shell.fails(1, "maintenance", "run", "--steps", "vacuum,disk", "--direct")
    assert shell.json("maintenance", "status")["results"]["disk"]["state"] == "done"


# security updates ----------------------------------------------------------------------------------------------------


@only_processes("there are images: docker/test_maintenance.py")
def test_processes_have_no_images_and_are_told_what_is_installed(shell: Shell) -> None:
    found = shell.json("security-updates", "--plan")
    assert found["runtime"] == "processes"
    assert {"dagster", "qdrant-edge-py"} <= set(found["packages"])
    said = " ".join(shell.run("security-updates").stdout.split())
    assert "local processes have no images: nothing is replaced here" in said


@only_processes("there are images: docker/test_maintenance.py")
@pytest.mark.parametrize("words", [("--confirm", "UPDATE"), ("--return", "--confirm", "UPDATE")])
def test_an_update_of_processes_is_refused_and_replaces_nothing(shell: Shell, words: tuple[str, ...]) -> None:
    """Who has confirmed it must not read in the exit code that it was done."""
    before = {one.service: one.instance for one in shell.platform.runtime.status()}
    assert "there are no images here (ARCHON_RUNTIME=processes)" in shell.fails(2, "security-updates", *words)
    assert {one.service: one.instance for one in shell.platform.runtime.status()} == before


# retention -----------------------------------------------------------------------------------------------------------


def manifests(shell: Shell, folder: str = "backups") -> dict[str, bytes]:
    root = Path(shell.platform.settings.repository) / folder
    return {path.stem: path.read_bytes() for path in root.glob("*.json")}


@pytest.fixture
def backups(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three of PostgreSQL, newest first, of which the policy keeps one."""
    monkeypatch.setenv("ARCHON_RETENTION_KEEP_WITHIN_DAYS", "0")
    monkeypatch.setenv("ARCHON_RETENTION_MINIMUM", "1")
    shutil.rmtree(shell.platform.settings.repository, ignore_errors=True)
    request = BackupRequest(stores=("relational",), quiesce=False)
    taken = [take_backup(open_context(shell.platform.settings), request).manifest.id for _ in range(3)]
    return taken[::-1]


ONE = (
    "--keep-last", "1", *(word for rule in ("hourly", "daily", "weekly", "monthly", "yearly")
    for word in (f"--keep-{rule}", "0")),
)  # fmt: skip


def test_pruning_is_only_told_until_it_is_confirmed(shell: Shell, backups: list[str]) -> None:
    before = manifests(shell)
    told = shell.json("backups", "prune", *ONE)
    assert set(told["goes"]) == set(backups[1:])
    assert [row["decision"] for row in told["backups"]] == ["kept", "goes", "goes"]
    shown = shell.run("backups", "prune", *ONE).stdout
    rows = [line.split() for line in shown.splitlines() if line.split()[:1] and line.split()[0] in backups]
    assert [(row[0], row[3]) for row in rows] == list(zip(backups, ["kept", "goes", "goes"], strict=True))
    assert "2 would go, 1 stay" in shown and "archon backups prune --confirm PRUNE" in shown
    assert "nothing was touched" in shell.fails(2, "backups", "prune", "--confirm", "prune", *ONE)
    assert (manifests(shell), manifests(shell, "removed")) == (before, {})


def test_a_run_of_dagster_ends_with_what_came_of_it_and_where_to_read_more(shell: Shell, backups: list[str]) -> None:
    said = shell.run("maintenance", "run", "--steps", "vacuum").stdout
    assert re.fullmatch(r"the maintenance is done\nrun: [0-9a-f-]{36}\nwhat each step did: archon .*\n", said)
    said = shell.run("backups", "prune", "--confirm", "PRUNE", *ONE).stdout
    assert re.match(r"2 backups removed, 1 kept; .*\nrun: [0-9a-f-]{36}\n.*archon backups undelete\n", said)
    for backup in backups[1:]:
        shell.run("backups", "undelete", backup)
    assert set(manifests(shell)) == set(backups)


@pytest.mark.parametrize("direct", [(), ("--direct",)], ids=["dagster", "direct"])
def test_what_was_pruned_is_put_back_byte_for_byte(shell: Shell, backups: list[str], direct: tuple[str, ...]) -> None:
    before = manifests(shell)
    shell.json("backups", "prune", "--confirm", "PRUNE", *ONE, *direct)
    assert set(manifests(shell)) == {backups[0]}
    assert set(manifests(shell, "removed")) == set(backups[1:])
    assert {row["backup"] for row in shell.json("backups", "undelete")} == set(backups[1:])
    for backup in backups[1:]:
        assert backup in shell.run("backups", "undelete").stdout
        assert f"archon verify {backup}" in shell.run("backups", "undelete", backup).stdout
    assert (manifests(shell), manifests(shell, "removed")) == (before, {})
    assert shell.json("verify", backups[2])["damage"] == []


def test_what_cannot_be_put_back_is_an_exit_code_of_three(shell: Shell, backups: list[str]) -> None:
    assert "no removed backup can be put back" in shell.fails(3, "backups", "undelete")
    assert f"there is no removed backup {backups[0]}" in shell.fails(3, "backups", "undelete", backups[0])
    assert set(manifests(shell)) == set(backups)


def test_a_marked_backup_stays_until_the_mark_is_taken_away(shell: Shell, backups: list[str]) -> None:
    marked = backups[2]
    assert shell.json("backups", "keep", marked, "--note", "the audit") == {"backup": marked, "kept": True}
    assert b"the audit" in manifests(shell, "keeps")[marked]
    assert shell.json("backups", "prune", *ONE)["goes"] == [backups[1]]
    shell.json("backups", "prune", "--confirm", "PRUNE", *ONE, "--direct")
    assert set(manifests(shell)) == {backups[0], marked}
    assert "is not marked any more" in shell.run("backups", "keep", marked, "--off").stdout
    assert manifests(shell, "keeps") == {}
    assert shell.json("backups", "prune", *ONE)["goes"] == [marked]
    shell.fails(3, "backups", "keep", "nothing")


def test_pruning_waits_for_nobody_who_is_at_work(shell: Shell, backups: list[str]) -> None:
    with Repository.open(shell.platform.settings.repository).lock("a test of the lock"):
        for words in ((*ONE, "--confirm", "PRUNE"), (*ONE, "--confirm", "PRUNE", "--direct")):
            assert "a test of the lock" in shell.fails(5, "backups", "prune", *words)
    assert set(manifests(shell)) == set(backups)
