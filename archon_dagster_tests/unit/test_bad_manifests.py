"""A manifest that was sealed by somebody who means harm: nothing outside the repository is read or written."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from archon_dagster.errors import DamagedBackup
from archon_dagster.repository.manifest import Manifest
from archon_dagster.repository.names import manifest_key
from archon_dagster.repository.repository import Repository
from archon_dagster.stores.base import Work
from archon_dagster_tests.unit.repository.conftest import back_up

SECRET = b"a key that lies beside the repository"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_bytes(SECRET)
    return tmp_path / "repository"


@pytest.fixture
def backup(root: Path) -> Manifest:
    return back_up(Repository.open(str(root), create=True), {"a": SECRET})


def reseal(root: Path, backup: Manifest, **chunk: Any) -> None:
    """Change the manifest's chunk, and make its own digest right again."""
    fields = json.loads(backup.model_dump_json())
    fields["artifacts"][0]["chunks"][0] |= chunk
    body = json.dumps(fields).encode()
    sealed = b'{"sha256":"' + hashlib.sha256(body).hexdigest().encode() + b'","manifest":' + body + b"}\n"
    (root / manifest_key(backup.id)).write_bytes(sealed)


@pytest.mark.parametrize(
    "name", ["../../secret", "/etc/passwd", "ab/../../../secret", "A" * 64, "a" * 63, "a" * 64 + "\n", "a" * 65, ""]
)
def test_a_chunk_that_is_no_digest_is_damage_and_no_file_elsewhere_is_read(
    root: Path, backup: Manifest, tmp_path: Path, name: str
) -> None:
    reseal(root, backup, sha256=name)
    repository = Repository.open(str(root))
    with pytest.raises(DamagedBackup, match=rf"{backup.id} cannot be understood"):
        repository.resolve(backup.id)
    assert [entry.state for entry in repository.backups()] == ["damaged"]
    assert not repository.verify(backup.id, Work(scratch=tmp_path)).passed
    script = [sys.executable, str(root / "extract.py"), backup.id, str(tmp_path / "out")]
    result = subprocess.run(script, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert "the manifest's name or size for it is not possible" in result.stderr
    assert {path.name for path in (tmp_path / "out").rglob("*")} <= {"manifest.json"}


def test_a_chunk_that_is_a_link_to_another_file_is_not_taken_for_it(root: Path, tmp_path: Path) -> None:
    repository = Repository.open(str(root), create=True)
    backup = back_up(repository, {"a": b"something else"})
    sha256 = backup.artifacts[0].chunks[0].sha256
    chunk = root / "chunks" / sha256[:2] / sha256
    chunk.unlink()
    chunk.symlink_to(tmp_path / "secret")
    result = repository.verify(backup.id, Work(scratch=tmp_path))
    assert not result.passed
    with pytest.raises(DamagedBackup, match=sha256[:12]):
        repository.export(repository.resolve(backup.id), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_manifest_of_another_format_says_which_program_reads_it(root: Path, backup: Manifest) -> None:
    fields = json.loads(backup.model_dump_json()) | {"format": 7, "something": "new"}
    body = json.dumps(fields).encode()
    sealed = b'{"sha256":"' + hashlib.sha256(body).hexdigest().encode() + b'","manifest":' + body + b"}\n"
    (root / manifest_key(backup.id)).write_bytes(sealed)
    (entry,) = Repository.open(str(root)).backups()
    assert (entry.state, entry.detail) == ("newer", f"backup {backup.id} has format 7, this program reads up to 1")
