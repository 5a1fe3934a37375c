"""The filesystem backend: whole or absent, durable, and clear about what refused to work.

What it shares with every other backend is tested in ``integration/s3/test_backends.py``.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from archon_dagster.errors import ConfigurationError, RepositoryError
from archon_dagster.repository.backends.base import ObjectExists
from archon_dagster.repository.backends.filesystem import FilesystemBackend
from archon_dagster.repository.backends.opening import open_backend


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def failing(root: Path, step: str, number: int) -> FilesystemBackend:
    """A backend on which one step is refused by the system."""

    def on_step(name: str, path: Path) -> None:
        if name == step:
            raise OSError(number, os.strerror(number), str(path))

    return FilesystemBackend(root, on_step=on_step)


def test_create_only_holds_where_hard_links_are_missing(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    backend = failing(tmp_path / "r", "no step", 0)
    real = os.link

    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "no links here")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "link", no_links)
        backend.put("a/b", b"first", if_absent=True)
        with pytest.raises(ObjectExists):
            backend.put("a/b", b"second", if_absent=True)
    assert os.link is real
    assert backend.get("a/b").data == b"first"


def test_touch_moves_the_time_of_change_only(backend: FilesystemBackend) -> None:
    etag = backend.put("locks/x", b"mine")
    os.utime(backend.root / "locks/x", (1, 1))
    backend.touch("locks/x", if_match=etag)
    assert abs(backend.get("locks/x").info.modified - backend.now()) < timedelta(seconds=5)
    assert backend.get("locks/x").data == b"mine"


def test_the_clock_is_the_storage_s(backend: FilesystemBackend) -> None:
    assert abs(backend.now() - datetime.now(UTC)) < timedelta(seconds=5)
    assert files(backend.root) == set()


def test_listing_shows_objects_and_nothing_of_the_backend_s_own(backend: FilesystemBackend) -> None:
    for key in ("chunks/ab/1", "chunks/cd/2", "backups/x.json"):
        backend.put(key, b"123")
    (backend.root / "chunks/ab/.0123.x.tmp").write_bytes(b"half")
    assert {(info.key, info.size) for info in backend.list("chunks/")} == {("chunks/ab/1", 3), ("chunks/cd/2", 3)}
    assert {info.key for info in backend.list("chunks/a")} == {"chunks/ab/1"}
    assert list(backend.list("nothing/")) == []


@pytest.mark.parametrize("step", ["create", "write", "sync", "rename"])
@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space is left"),
        (errno.EACCES, "permission"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "error"),
    ],
)
def test_a_refused_write_says_why_and_leaves_nothing(tmp_path: Path, step: str, number: int, words: str) -> None:
    backend = failing(tmp_path, step, number)
    with pytest.raises(RepositoryError, match=words) as caught:
        backend.put("chunks/ab/cd", b"content")
    assert caught.value.where == str(tmp_path / "chunks/ab/cd")
    assert caught.value.todo
    assert files(tmp_path) == set()


def test_a_failed_barrier_is_reported_and_tried_again(tmp_path: Path) -> None:
    refuse = [True]

    def on_step(name: str, path: Path) -> None:
        if name == "sync directory" and refuse[0]:
            raise OSError(errno.EIO, "broken", str(path))

    backend = FilesystemBackend(tmp_path, on_step=on_step)
    backend.put("a/b", b"")
    with pytest.raises(RepositoryError, match="disk reported an error"):
        backend.barrier()
    refuse[0] = False
    synced: list[Path] = []
    backend._step = lambda name, path: synced.append(path) if name == "sync directory" else None
    backend.barrier()
    assert tmp_path / "a" in synced


def test_the_barrier_covers_what_others_have_written(tmp_path: Path) -> None:
    FilesystemBackend(tmp_path).put("chunks/ab/cd", b"")
    synced: set[Path] = set()
    backend = FilesystemBackend(
        tmp_path, on_step=lambda name, path: synced.add(path) if name == "sync directory" else None
    )
    backend.barrier(["chunks/ab/cd"])
    assert synced == {tmp_path, tmp_path / "chunks", tmp_path / "chunks/ab"}


def test_content_is_synced_before_it_appears_and_names_by_the_barrier(
    backend: FilesystemBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = os.fsync

    def watched(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    backend.put("chunks/ab/cd", b"content")
    assert synced == [(backend.root / "chunks/ab/cd").stat().st_ino]
    backend.barrier()
    assert {path.stat().st_ino for path in (backend.root, backend.root / "chunks", backend.root / "chunks/ab")} <= set(
        synced
    )


def test_a_disk_that_was_unmounted_is_not_written_beside(tmp_path: Path) -> None:
    backend = FilesystemBackend(tmp_path / "unmounted")
    with pytest.raises(RepositoryError, match="disappeared"):
        backend.put("chunks/ab/cd", b"")
    assert not (tmp_path / "unmounted").exists()


def test_leftovers_of_a_killed_writer_are_swept_and_work_in_progress_is_not(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from archon_dagster.repository.backends.filesystem import FilesystemBackend\n"
        "def die(name, path):\n    if name == 'rename': os.kill(os.getpid(), signal.SIGKILL)\n"
        "FilesystemBackend(Path(sys.argv[1]), on_step=die).put('chunks/ab/cd', b'half')\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=60)
    backend = FilesystemBackend(tmp_path)
    assert len(files(tmp_path)) == 1
    with backend._written(tmp_path / "chunks/ab/ef", b"ours") as in_progress:
        assert backend.sweep("chunks/") == 1
        assert files(tmp_path) == {str(in_progress.relative_to(tmp_path))}


def test_leftovers_of_an_unknown_writer_are_swept_after_a_day(backend: FilesystemBackend) -> None:
    for name in (".0123..tmp", ".4567..tmp"):
        (backend.root / name).write_bytes(b"half")
    long_ago = datetime.now().timestamp() - 2 * 86400
    os.utime(backend.root / ".0123..tmp", (long_ago, long_ago))
    assert backend.sweep("") == 1
    assert files(backend.root) == {".4567..tmp"}


def test_something_that_is_no_file_in_an_object_s_place_does_not_hang(backend: FilesystemBackend) -> None:
    os.mkfifo(backend.root / "pipe")
    with pytest.raises(RepositoryError, match="not a file"):
        backend.get("pipe")


def test_addresses_of_other_kinds_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="ftp"):
        open_backend("ftp://host/path")


def test_a_file_address_is_a_path(tmp_path: Path) -> None:
    assert open_backend(f"file://{tmp_path}/a%20b", create=True).describe() == str(tmp_path / "a b")
