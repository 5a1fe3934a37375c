"""Who asks for portable artifacts, and how a restore that cannot be exact is compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.errors import RestoreFailed
from archon_dagster.repository.manifest import BackupKind, Fingerprint
from archon_dagster.restore.restore import RestoreRequest, restore_backup
from archon_dagster.stores.base import Sink, Source, Work
from archon_dagster_tests.unit.platform_double import FolderStore, Platform, failing

CONFIRM = "RESTORE"


class Recording(FolderStore):
    """Remembers whether portable artifacts were asked for, and restores something else where it is told to."""

    def __init__(self, folder: Path):
        super().__init__("vectors", folder)
        self.exported: list[bool] = []
        self.restored: list[bool] = []
        self.changes = False
        self.tells = False

    def export(self, sink: Sink, work: Work) -> None:
        self.exported.append(work.portable)
        super().export(sink, work)

    def restore(self, source: Source, work: Work) -> None:
        self.restored.append(work.portable)
        super().restore(source, work)
        if self.changes:
            self.put("0", "as near as this server comes")
        if self.tells:
            work.expect(self.fingerprint(work))


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    monkeypatch.setattr("archon_dagster.restore.restore.wait_until_ready", lambda *_, **__: {})
    found = Platform(tmp_path)
    found.stores["vectors"] = found.context.stores["vectors"] = Recording(tmp_path / "recording")
    found.stores["vectors"].put("0", "a record")
    return found


def store(platform: Platform) -> Recording:
    found = platform.stores["vectors"]
    assert isinstance(found, Recording)
    return found


@pytest.mark.parametrize(
    ("kind", "asked", "wanted"),
    [("manual", None, True), ("scheduled", None, True), ("safety", None, False), ("manual", False, False)],
)
def test_every_backup_but_a_safety_copy_is_portable_unless_told_otherwise(
    kind: BackupKind, asked: bool | None, wanted: bool, platform: Platform
) -> None:
    take_backup(platform.context, BackupRequest(kind=kind, quiesce=False, portable=asked))
    assert store(platform).exported == [wanted]


def test_a_restore_uses_portable_artifacts_on_request(platform: Platform) -> None:
    backup = take_backup(platform.context, BackupRequest(quiesce=False)).manifest
    for asked in (False, True):
        restore_backup(platform.context, RestoreRequest(backup.id, CONFIRM, ("vectors",), portable=asked))
    assert store(platform).restored == [False, True]


def test_the_way_back_never_asks_for_what_a_safety_copy_does_not_have(platform: Platform) -> None:
    backup = take_backup(platform.context, BackupRequest(quiesce=False)).manifest
    platform.stores["graph"].fault = failing_once("restore")
    with pytest.raises(RestoreFailed, match="put back from safety backup"):
        restore_backup(platform.context, RestoreRequest(backup.id, CONFIRM, ("vectors", "graph"), portable=True))
    assert store(platform).restored == [True, False]


def failing_once(verb: str) -> Callable[[str], None]:
    armed = [failing(verb)]

    def fault(found: str) -> None:
        if found == verb and armed:
            armed.pop()(found)

    return fault


def test_what_a_store_says_it_looks_like_instead_is_what_it_is_compared_with(platform: Platform) -> None:
    backup = take_backup(platform.context, BackupRequest(quiesce=False)).manifest
    store(platform).changes = store(platform).tells = True
    result = restore_backup(platform.context, RestoreRequest(backup.id, CONFIRM, ("vectors",)))
    assert isinstance(result.after["vectors"], Fingerprint)
    assert store(platform).records()["0"] == b"as near as this server comes"


def test_a_store_that_says_nothing_must_be_exactly_what_the_backup_promises(platform: Platform) -> None:
    backup = take_backup(platform.context, BackupRequest(quiesce=False)).manifest
    store(platform).changes = True
    with pytest.raises(RestoreFailed, match="are not what backup"):
        restore_backup(platform.context, RestoreRequest(backup.id, CONFIRM, ("vectors",)))
