"""The configuration store on a real directory."""

from __future__ import annotations

import io
import stat
import tarfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from archon_dagster.errors import Cancelled, DamagedBackup, RestoreFailed, StoreError
from archon_dagster.stores.base import Work
from archon_dagster.stores.configuration import ConfigurationStore
from archon_dagster.stores.configuration.redaction import PLACEHOLDER
from archon_dagster_tests.artifacts import MemorySink, MemorySource

NAME = "platform/configuration"


@dataclass
class Platform:
    """A project directory and its store."""

    project: Path
    store: ConfigurationStore
    work: Work

    def write(self, path: str, text: str) -> Path:
        target = self.project / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def backup(self) -> MemorySink:
        sink = MemorySink()
        self.store.export(sink, self.work)
        return sink

    def tree(self) -> dict[str, str]:
        files = (path for path in sorted(self.project.rglob("*")) if path.is_file() or path.is_symlink())
        return {path.relative_to(self.project).as_posix(): path.read_text() for path in files}


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    project = tmp_path / "project"
    made = Platform(project, ConfigurationStore(project), Work(scratch=tmp_path / "scratch"))
    made.write(".env", "OPENAI_API_KEY=sk-secret\nPLAIN=1\n").chmod(0o644)
    made.write("docker-compose.yml", "services: {}\n")
    made.write("config/app.yml", "a: 1\n")
    made.write("config/deep/er/x.txt", "x\n").chmod(0o750)
    (project / "config" / "current.yml").symlink_to("app.yml")
    made.write("README.md", "not configuration\n")
    return made


def archive(*members: tuple[str, bytes, str]) -> bytes:
    """A tar of (name, type, content or link)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind, text in members:
            member = tarfile.TarInfo(name)
            member.type, member.mode = kind, 0o644
            if kind == tarfile.REGTYPE:
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text.encode()))
            else:
                member.linkname = text
                tar.addfile(member)
    return buffer.getvalue()


def test_exactly_the_covered_files_are_captured(platform: Platform) -> None:
    with tarfile.open(fileobj=io.BytesIO(platform.backup().data[NAME])) as tar:
        assert tar.getnames() == [
            ".env", "config/app.yml", "config/current.yml", "config/deep/er/x.txt", "docker-compose.yml"
        ]  # fmt: skip


def test_no_secret_is_in_the_artifact_and_its_absence_is_told(platform: Platform) -> None:
    sink = platform.backup()
    assert b"sk-secret" not in sink.data[NAME]
    assert sink.source().one(NAME).details["withheld"] == ["OPENAI_API_KEY in .env"]
    assert any("OPENAI_API_KEY in .env" in what for _, what in sink.left_out)


def test_the_same_files_give_the_same_bytes(platform: Platform) -> None:
    first = platform.backup().data[NAME]
    for path in platform.project.rglob("*"):
        path.touch()
    assert platform.backup().data[NAME] == first


def test_the_live_fingerprint_is_that_of_the_artifact(platform: Platform) -> None:
    expected = platform.backup().source().one(NAME).fingerprint
    assert expected is not None
    assert expected.differences(platform.store.fingerprint(platform.work)) == []
    platform.write("config/app.yml", "a: 2\n")
    assert expected.differences(platform.store.fingerprint(platform.work)) == [
        "file config/app.yml: same count (1), different content",
        "files: same count (5), different content",
    ]


def test_a_changed_secret_is_no_change_of_the_configuration(platform: Platform) -> None:
    before = platform.store.fingerprint(platform.work)
    platform.write(".env", "OPENAI_API_KEY=another\nPLAIN=1\n")
    assert platform.store.fingerprint(platform.work) == before


def test_a_restore_brings_back_what_was_there_and_keeps_the_live_secrets(platform: Platform) -> None:
    source, before = platform.backup().source(), platform.tree()
    platform.write(".env", "OPENAI_API_KEY=sk-rotated\nPLAIN=2\nNEW=1\n")
    platform.write("config/new/added.yml", "later\n")
    (platform.project / "config/deep/er/x.txt").unlink()
    (platform.project / "config/current.yml").unlink()
    platform.write("config/current.yml", "a file now\n")
    platform.store.restore(source, platform.work)
    assert platform.tree() == before | {".env": "OPENAI_API_KEY=sk-rotated\nPLAIN=1\n"}
    assert (platform.project / "config/current.yml").is_symlink()
    assert not (platform.project / "config/new").exists()
    assert stat.S_IMODE((platform.project / "config/deep/er/x.txt").stat().st_mode) == 0o750
    assert stat.S_IMODE((platform.project / ".env").stat().st_mode) == 0o600


def test_a_restore_into_nothing_says_which_secrets_are_missing(platform: Platform, tmp_path: Path) -> None:
    source, told = platform.backup().source(), list[str]()
    empty = ConfigurationStore(tmp_path / "elsewhere")
    empty.restore(source, Work(scratch=tmp_path, warn=told.append))
    text = (tmp_path / "elsewhere" / ".env").read_text()
    assert text.startswith("#") and "PLAIN=1" in text
    assert any("the value of OPENAI_API_KEY was withheld" in warning for warning in told)
    expected = source.one(NAME).fingerprint
    assert expected is not None and expected.differences(empty.fingerprint(platform.work)) == []


def test_links_out_of_the_project_are_named_and_left_alone(platform: Platform) -> None:
    (platform.project / "config" / "outside").symlink_to("/etc")
    (platform.project / "config" / "above").symlink_to("../../x")
    sink = platform.backup()
    assert [what.partition(":")[0] for _, what in sink.left_out[-2:]] == ["config/above", "config/outside"]
    platform.store.restore(sink.source(), platform.work)
    assert (platform.project / "config" / "outside").is_symlink()


@pytest.mark.parametrize(
    "members",
    [
        [("/etc/passwd", tarfile.REGTYPE, "x")],
        [("config/../../x", tarfile.REGTYPE, "x")],
        [("../.env", tarfile.REGTYPE, "x")],
        [("README.md", tarfile.REGTYPE, "x")],
        [("config/./x", tarfile.REGTYPE, "x")],
        [("config/l", tarfile.SYMTYPE, "/etc")],
        [("config/l", tarfile.SYMTYPE, "../../etc")],
        [("config/l", tarfile.SYMTYPE, "deep"), ("config/l/x", tarfile.REGTYPE, "x")],
        [("config/l", tarfile.LNKTYPE, "/etc/passwd")],
        [("config/d", tarfile.CHRTYPE, "")],
    ],
)
def test_a_tar_that_reaches_out_of_the_project_is_refused(
    platform: Platform, members: list[tuple[str, bytes, str]]
) -> None:
    source, before = platform.backup().source(), platform.tree()
    source.replace(NAME, archive(*members))
    with pytest.raises(DamagedBackup, match="nothing was written"):
        platform.store.restore(source, platform.work)
    assert platform.tree() == before


def _truncated(data: bytes) -> bytes:
    return data[: data.index(b"a: 1")]


def _without_last_member(data: bytes) -> bytes:
    return data[: data.index(b"docker-compose.yml")] + bytes(1024)


def _flipped(data: bytes) -> bytes:
    return data.replace(b"a: 1", b"a: 3")


@pytest.mark.parametrize("damage", [_truncated, _without_last_member, _flipped])
def test_damage_is_found_by_verification_and_before_a_restore(
    platform: Platform, damage: Callable[[bytes], bytes]
) -> None:
    source: MemorySource = platform.backup().source()
    (good,) = platform.store.verify(source, platform.work)
    source.replace(NAME, damage(source.data[NAME]))
    (verdict,) = platform.store.verify(source, platform.work)
    assert (good.state, verdict.state) == ("verified", "damaged")
    before = platform.tree()
    with pytest.raises(DamagedBackup):
        platform.store.restore(source, platform.work)
    assert platform.tree() == before


def test_nothing_is_written_through_a_link(platform: Platform, tmp_path: Path) -> None:
    source = platform.backup().source()
    victim = tmp_path / "victim"
    victim.mkdir()
    for path in sorted((platform.project / "config").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (platform.project / "config").rmdir()
    (platform.project / "config").symlink_to(victim)
    with pytest.raises(RestoreFailed, match="link"):
        platform.store.restore(source, platform.work)
    assert list(victim.iterdir()) == []


def test_a_cancelled_restore_leaves_everything_as_it_was(platform: Platform, tmp_path: Path) -> None:
    source, before = platform.backup().source(), {**platform.tree(), "docker-compose.yml": "changed\n"}
    platform.write("docker-compose.yml", "changed\n")
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        platform.store.restore(source, Work(scratch=tmp_path, cancel=cancel))
    assert platform.tree() == before


def test_a_killed_restore_leaves_nothing_that_the_next_one_does_not_clear(platform: Platform) -> None:
    stale = platform.project / ".archon-restore-0123abcd"
    stale.mkdir()
    (stale / "half").write_text("x")
    platform.store.restore(platform.backup().source(), platform.work)
    assert not list(platform.project.glob(".archon-restore-*"))


def test_a_project_directory_that_is_gone_is_an_empty_configuration_and_told(tmp_path: Path) -> None:
    sink = MemorySink()
    ConfigurationStore(tmp_path / "gone").export(sink, Work(scratch=tmp_path))
    assert sink.source().one(NAME).counts == {"files": 0}
    assert any("does not exist" in what for _, what in sink.left_out)


def test_a_backup_without_configuration_is_refused(platform: Platform) -> None:
    with pytest.raises(StoreError, match="no configuration"):
        platform.store.restore(MemorySink().source(), platform.work)


def test_the_store_describes_itself(platform: Platform) -> None:
    description = platform.store.describe()
    assert description.counts == {"files": 5}
    assert PLACEHOLDER not in str(description)
