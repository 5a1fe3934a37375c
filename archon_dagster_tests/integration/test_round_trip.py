"""The main path on real servers: fill, back up, damage or destroy, restore, and everything is as it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from archon_dagster.backup.backup import BackupRequest, BackupResult, take_backup
from archon_dagster.context import OperationContext, Step, open_context
from archon_dagster.errors import ArchonError, Cancelled, RestoreFailed, StoreError
from archon_dagster.platform.quiesce import unpause
from archon_dagster.platform.services import writers
from archon_dagster.platform.settings import Settings
from archon_dagster.repository.repository import Repository
from archon_dagster.restore.journal import JournalFile
from archon_dagster.restore.restore import RestoreRequest, restore_backup
from archon_dagster.restore.steps import PUT_BACK
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster.sandbox.seed import seed
from archon_dagster.stores.base import STORES, StoreName
from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.platforms import lifecycle, running_platform
from archon_dagster_tests.prompt import PROMPT, Cancel

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(300)]

SMALL = {"limit": 12, "max_points": 60}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox of this module's own, because these tests kill and wipe it."""
    home = tmp_path_factory.mktemp("round-trip")
    with running_platform(home) as made:
        seed(made.settings, made.runtime, **SMALL)  # type: ignore[arg-type]
        yield made


@pytest.fixture
def context(platform: Sandbox) -> OperationContext:
    """Everything runs and is filled, whatever the test before did to it."""
    lifecycle.up(platform.home, owner_pid=os.getpid())
    seed(platform.settings, platform.runtime, **SMALL)  # type: ignore[arg-type]
    return open_context(platform.settings)


def no_residue(settings: Settings) -> None:
    """Nothing of ours is left on the vector server: no snapshot file, no scratch collection."""
    with httpx.Client(base_url=settings.qdrant_url, timeout=10) as client:
        names = [c["name"] for c in client.get("/collections").json()["result"]["collections"]]
        assert [name for name in names if "trial" in name] == []
        assert {name: client.get(f"/collections/{name}/snapshots").json()["result"] for name in names} == {
            name: [] for name in names
        }


def back_up(context: OperationContext, **options: object) -> BackupResult:
    return take_backup(context, BackupRequest(**options))  # type: ignore[arg-type]


def restore(context: OperationContext, selector: str, **options: object) -> None:
    restore_backup(context, RestoreRequest(selector, "RESTORE", **options))  # type: ignore[arg-type]


def test_everything_destroyed_comes_back_identical(platform: Sandbox, context: OperationContext) -> None:
    before = context.fingerprints()
    result = back_up(context)
    assert result.good, [check for check in result.checks if not check.passed]
    assert {name: result.manifest.fingerprint(name) for name in STORES} == before
    for store in STORES:
        lifecycle.wipe(platform.home, store)
    assert context.fingerprints() != before
    restore(context, result.manifest.id)
    assert context.fingerprints() == before
    no_residue(platform.settings)
    assert all(status.state == "running" for status in platform.runtime.status())


def test_an_unchanged_platform_costs_almost_nothing_a_second_time(context: OperationContext) -> None:
    first = back_up(context).manifest
    second = back_up(context).manifest
    assert second.bytes_added < first.bytes_read / 50


def test_a_backup_beside_a_writer_at_full_speed_verifies_and_restores(
    platform: Sandbox, context: OperationContext
) -> None:
    url = f"http://127.0.0.1:{platform.settings.search_port}/vectorize/document"
    stop, written, errors = threading.Event(), [0], list[str]()

    def write() -> None:
        with httpx.Client(timeout=30) as client:
            while not stop.is_set() and written[0] < 5000:
                document = {"document_id": f"writer-{written[0]}", "content": f"document number {written[0]}"}
                answer = client.post(url, json=document).json()
                if not answer.get("success"):
                    errors.append(str(answer))
                written[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        eventually(lambda: written[0] > 5, 30)
        result = back_up(context)
        beside = written[0]
        eventually(lambda: written[0] > beside, 30)  # the writer went on after the window
    finally:
        stop.set()
        writer.join()
    assert result.good, [check for check in result.checks if not check.passed]
    assert result.manifest.window.consistent
    assert result.manifest.window.paused == tuple(one.name for one in writers(platform.services))
    assert errors == []
    restore(context, result.manifest.id)
    assert context.fingerprints()["vectors"] == result.manifest.fingerprint("vectors")


@pytest.mark.long
@pytest.mark.parametrize(
    ("service", "store"), [("qdrant", "vectors"), ("memgraph", "graph"), ("postgres", "relational")]
)
def test_a_server_that_is_down_is_named_and_nothing_is_left(
    platform: Sandbox, context: OperationContext, service: str, store: str
) -> None:
    complete = [entry.id for entry in context.repository.backups()]
    lifecycle.kill(platform.home, service)
    with pytest.raises(StoreError):
        back_up(context)
    assert [entry.id for entry in context.repository.backups()] == complete
    lifecycle.start(platform.home, service)
    assert back_up(context).good
    no_residue(platform.settings)


@pytest.mark.long
@pytest.mark.parametrize("service", ["qdrant", "memgraph", "postgres"])
def test_a_server_that_dies_or_hangs_while_it_is_captured_leaves_nothing(platform: Sandbox, service: str) -> None:
    hasty = platform.settings.model_copy(update={"store_deadline": 5.0, "pause_limit": 5.0})
    begun = {entry.id for entry in Repository.open(hasty.repository, create=True).backups()}
    for harm in (platform.runtime.kill, platform.runtime.pause):

        def harm_it(news: object, harm: Callable[[str], None] = harm) -> None:
            if isinstance(news, Step) and news.name == "capture" and news.seconds is None:
                harm(service)

        lifecycle.up(platform.home, owner_pid=os.getpid())
        seed(platform.settings, platform.runtime, **SMALL)  # type: ignore[arg-type]
        hurt = open_context(hasty, report=harm_it)
        with pytest.raises(ArchonError) as failure:
            back_up(hurt)
        assert "what to do" in str(failure.value)
        unpause(platform.runtime, [service])
        assert {entry.id for entry in hurt.repository.backups() if entry.state == "complete"} == begun
        assert next(s.state for s in platform.runtime.status() if s.service == "archon-search") == "running"
    lifecycle.up(platform.home, owner_pid=os.getpid())
    no_residue(platform.settings)


@pytest.mark.long
@pytest.mark.parametrize(
    ("service", "store"), [("qdrant", "vectors"), ("memgraph", "graph"), ("postgres", "relational")]
)
def test_a_server_killed_in_the_middle_of_its_restore_has_its_old_data_again(
    platform: Sandbox, context: OperationContext, service: str, store: StoreName
) -> None:
    backup = back_up(context).manifest
    change(context, platform)
    changed = context.fingerprints()
    armed = kill_when_restoring(platform, context, service, store)
    with pytest.raises(RestoreFailed, match="put back"):
        restore(armed, backup.id)
    assert context.fingerprints() == changed
    assert JournalFile(platform.settings).read() is None
    no_residue(platform.settings)
    restore(context, backup.id)
    assert {name: backup.fingerprint(name) for name in STORES} == context.fingerprints()


def change(context: OperationContext, platform: Sandbox) -> None:
    """Something newer than the backup in every store."""
    url = f"http://127.0.0.1:{platform.settings.search_port}/vectorize/document"
    assert httpx.post(url, json={"document_id": "new", "content": "new since"}, timeout=30).json()["success"]
    seed(platform.settings, platform.runtime, limit=15, max_points=60)
    (platform.settings.project_dir / "config" / "new.yaml").write_text("new: since\n")


def kill_when_restoring(
    platform: Sandbox, context: OperationContext, service: str, store: StoreName
) -> OperationContext:
    """The same context, whose given store loses its server at the first chance after its restore has begun."""
    victim = context.stores[store]
    original = victim.restore
    fired = threading.Event()

    class Dying:
        name = store

        def __getattr__(self, verb: str) -> object:
            return getattr(victim, verb)

        def restore(self, source: object, work: object) -> None:
            if not fired.is_set():
                fired.set()
                killer = threading.Thread(target=_kill_soon, args=(platform, service))
                killer.start()
                try:
                    original(source, work)  # type: ignore[arg-type]
                    killer.join()
                    raise StoreError("the server was killed right after its restore")
                finally:
                    killer.join()
            else:
                original(source, work)  # type: ignore[arg-type]

    stores = {**context.stores, store: Dying()}
    return OperationContext(platform.settings, platform.runtime, stores, context.repository)  # type: ignore[arg-type]


def _kill_soon(platform: Sandbox, service: str) -> None:
    threading.Event().wait(0.3)
    lifecycle.kill(platform.home, service)


def test_a_cancelled_restore_leaves_what_was_there(platform: Sandbox, context: OperationContext) -> None:
    backup = back_up(context).manifest
    change(context, platform)
    changed = context.fingerprints()

    stopped: list[float] = []

    def cancel_in_the_graph(news: object) -> None:
        if getattr(news, "name", "") == "restore graph" and not cancel.is_set():
            cancel.set()
        if getattr(news, "name", "") == PUT_BACK:
            stopped.append(cancel.passed)

    cancel = Cancel()
    cancelling = open_context(platform.settings, report=cancel_in_the_graph, cancel=cancel)
    with pytest.raises(Cancelled, match="identical"):
        restore(cancelling, backup.id)
    assert stopped[0] < PROMPT  # until the way back began, which takes what it takes
    assert context.fingerprints() == changed


@pytest.mark.long
@pytest.mark.parametrize("moment", ["capture", "restore graph", "safety backup"])
def test_a_run_killed_with_sigkill_needs_no_hand(platform: Sandbox, context: OperationContext, moment: str) -> None:
    backup = back_up(context).manifest
    expected = {name: backup.fingerprint(name) for name in STORES}
    argument = ["backup"] if moment == "capture" else ["restore", backup.id, "--confirm", "RESTORE"]
    kill_cli_at(platform.home, argument, moment)
    eventually(lambda: all(status.state != "paused" for status in platform.runtime.status()), 30)
    again = open_context(platform.settings)
    for entry in again.repository.backups():
        assert entry.state in ("complete", "incomplete", "running")
    retry(lambda: restore(again, backup.id))
    assert again.fingerprints() == expected
    assert all(status.state == "running" for status in platform.runtime.status())
    assert back_up(again).good
    no_residue(platform.settings)


def kill_cli_at(home: Path, arguments: list[str], moment: str) -> None:
    """Run the real command line and kill it with SIGKILL when it reports that a step has begun."""
    script = (
        "import os, signal, sys\n"
        "from archon_dagster.cli import progress\n"
        "from archon_dagster.context import Step\n"
        "def news(self, one):\n"
        f"    if isinstance(one, Step) and one.name == {moment!r} and one.seconds is None:\n"
        "        import threading; threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGKILL)).start()\n"
        "progress.News.__call__ = news\n"
        "from archon_dagster.cli.main import run\n"
        "sys.argv = ['archon', *sys.argv[1:]]\n"
        "run()\n"
    )
    command = [sys.executable, "-c", script, *arguments, "--direct"]
    killed = subprocess.run(command, env={**os.environ, "ARCHON_HOME": str(home)}, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL


def retry(action: object, budget: float = 90.0) -> None:
    """Run an action until it does not find the lock busy: a killed holder's lease may have to run out."""
    deadline = time.monotonic() + budget
    while True:
        try:
            action()  # type: ignore[operator]
            return
        except ArchonError as error:
            if type(error).__name__ != "RepositoryBusy" or time.monotonic() > deadline:
                raise
            threading.Event().wait(1)


@pytest.mark.long
def test_an_empty_platform_can_be_backed_up_and_restored(platform: Sandbox, context: OperationContext) -> None:
    filled = back_up(context).manifest
    for store in STORES[:3]:
        lifecycle.wipe(platform.home, store)
    empty = context.fingerprints()
    result = back_up(context, accept_counts=True)
    assert result.good, [check for check in result.checks if not check.passed]
    restore(context, filled.id)
    restore(context, result.manifest.id)
    assert context.fingerprints() == empty


def test_a_repository_whose_every_backup_is_damaged_restores_nothing(
    platform: Sandbox, context: OperationContext, tmp_path: Path
) -> None:
    own = Repository.open(str(tmp_path / "repository"), create=True)
    damaged = OperationContext(platform.settings, platform.runtime, context.stores, own)
    manifest = back_up(damaged).manifest
    before = context.fingerprints()
    chunk = manifest.of_store("vectors")[0].chunks[0].sha256
    path = tmp_path / "repository" / "chunks" / chunk[:2] / chunk
    path.chmod(0o644)
    path.unlink()
    with pytest.raises(ArchonError, match=chunk[:12]):
        restore(damaged, manifest.id)
    assert context.fingerprints() == before
