"""A backup as plain files: by the program, and by the stand-alone script inside the repository."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from archon_dagster.errors import Cancelled, ConfigurationError, DamagedBackup
from archon_dagster.repository import manifest_file
from archon_dagster.repository.extract import LARGEST_MANIFEST
from archon_dagster.repository.manifest import Manifest
from archon_dagster.repository.repository import Repository
from archon_dagster.stores.base import Work
from archon_dagster_tests.unit.repository.conftest import chunk_path, window

CONTENTS = {
    ("vectors", "qdrant/archon_vectors", "collection-snapshot", "application/x-tar"): random.Random(0).randbytes(
        5_000_000
    ),
    ("graph", "memgraph/graph", "graph-export", "application/x-ndjson"): b'{"label": "File"}\n' * 5000,
    ("relational", "postgres/archon", "database-dump", "application/octet-stream"): b"PGDMP" * 1000,
    ("configuration", "config/.env", "file", "text/plain"): b"A=1\n",
    ("configuration", "config/Ünïcödé name.json", "file", "application/json"): b"{}",
}
FILES = {
    "qdrant/archon_vectors.snapshot",
    "memgraph/graph.jsonl",
    "postgres/archon.dump",
    "config/.env",
    "config/Ünïcödé name.json",
    "manifest.json",
}


@pytest.fixture
def manifest(repository: Repository) -> Manifest:
    with repository.begin("manual") as pending:
        for (store, name, kind, media_type), content in CONTENTS.items():
            with pending.artifact(store, name, kind, media_type=media_type, cut="content") as a:  # type: ignore[arg-type]
                a.write(content)
        return pending.seal(window=window(), versions={})


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def assert_exported(folder: Path) -> None:
    assert files(folder) == FILES
    for (_, name, _, _), content in CONTENTS.items():
        (path,) = [folder / found for found in FILES if found.startswith(name)]
        assert path.read_bytes() == content


def extract(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the repository's own script, isolated from the installed package's directory."""
    command = [sys.executable, "-I", str(root / "extract.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def tampered(manifest: Manifest, root: Path, name: str) -> Manifest:
    """The manifest with another artifact name, sealed again by somebody who knows how."""
    artifact = manifest.artifacts[0].model_copy(update={"name": name})
    evil = manifest.model_copy(update={"artifacts": (artifact,)})
    (root / "backups" / f"{manifest.id}.json").write_bytes(manifest_file.encode(evil))
    return evil


def test_an_export_is_plain_files_with_fitting_names(
    repository: Repository, manifest: Manifest, tmp_path: Path
) -> None:
    written = repository.export(manifest, tmp_path / "out" / "plain")
    assert_exported(tmp_path / "out" / "plain")
    assert {path.relative_to(tmp_path / "out" / "plain").as_posix() for path in written} == FILES
    assert json.loads((tmp_path / "out" / "plain" / "manifest.json").read_text())["id"] == manifest.id
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["plain"]


def test_an_export_into_a_directory_in_use_is_refused(
    repository: Repository, manifest: Manifest, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    repository.export(manifest, tmp_path / "out")
    with pytest.raises(ConfigurationError, match="not empty"):
        repository.export(manifest, tmp_path / "out")


def test_no_two_artifacts_share_a_file(repository: Repository, root: Path, tmp_path: Path) -> None:
    contents = {"qdrant/a": b"one", "qdrant/a.snapshot": b"two", "manifest": b"three"}
    with repository.begin("manual") as pending:
        for name, content in contents.items():
            kind = "collection-snapshot" if name.startswith("qdrant") else "file"
            with pending.artifact("vectors", name, kind, media_type="application/json", cut="whole") as a:
                a.write(content)
        manifest = pending.seal(window=window(), versions={})
    repository.export(manifest, tmp_path / "plain")
    assert extract(root, manifest.id, str(tmp_path / "glass")).returncode == 0
    for folder in (tmp_path / "plain", tmp_path / "glass"):
        assert (folder / "qdrant" / "a.snapshot").read_bytes() == b"one"
        assert (folder / "qdrant" / "a.snapshot.snapshot").read_bytes() == b"two"
        assert (folder / "manifest.json_").read_bytes() == b"three"
        assert json.loads((folder / "manifest.json").read_text())["id"] == manifest.id


def test_a_damaged_backup_exports_nothing(
    repository: Repository, manifest: Manifest, root: Path, tmp_path: Path
) -> None:
    chunk_path(root, manifest.artifacts[2].chunks[0].sha256).unlink()
    before = files(tmp_path)
    with pytest.raises(DamagedBackup, match="postgres/archon"):
        repository.export(manifest, tmp_path / "out")
    assert files(tmp_path) == before
    assert not (tmp_path / "out").exists()


def test_a_cancelled_export_leaves_nothing(
    repository: Repository, manifest: Manifest, tmp_path: Path, work: Work
) -> None:
    work.cancel.set()
    with pytest.raises(Cancelled):
        repository.export(manifest, tmp_path / "out", work)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "a/../../evil", "a\\b"])
def test_a_tampered_name_is_refused_everywhere(
    repository: Repository, manifest: Manifest, root: Path, tmp_path: Path, name: str
) -> None:
    evil = tampered(manifest, root, name)
    with pytest.raises(DamagedBackup, match="names an artifact"):
        repository.resolve(manifest.id)
    with pytest.raises(DamagedBackup, match="leave the directory"):
        repository.export(evil, tmp_path / "out")
    result = extract(root, manifest.id, str(tmp_path / "out" / "deep"))
    assert (result.returncode, "would leave the directory" in result.stderr) == (1, True)
    assert not list(tmp_path.rglob("*evil*"))


def test_the_script_lists_and_extracts(manifest: Manifest, root: Path, tmp_path: Path) -> None:
    listed = extract(root, "list")
    assert listed.returncode == 0
    assert manifest.id in listed.stdout
    result = extract(root, manifest.id, str(tmp_path / "out"))
    assert (result.returncode, result.stderr) == (0, "")
    assert_exported(tmp_path / "out")


def test_the_script_works_on_a_repository_elsewhere(manifest: Manifest, root: Path, tmp_path: Path) -> None:
    (tmp_path / "extract.py").write_bytes((root / "extract.py").read_bytes())
    result = extract(tmp_path, manifest.id, str(tmp_path / "out"), "--repository", str(root))
    assert result.returncode == 0, result.stderr
    assert_exported(tmp_path / "out")


def test_the_script_saves_what_can_be_saved_and_says_what_cannot(
    manifest: Manifest, root: Path, tmp_path: Path
) -> None:
    chunk = manifest.artifacts[1].chunks[0].sha256
    damaged = bytearray(chunk_path(root, chunk).read_bytes())
    damaged[-1] ^= 1
    chunk_path(root, chunk).write_bytes(damaged)
    result = extract(root, manifest.id, str(tmp_path / "out"))
    assert result.returncode == 1
    assert "memgraph/graph" in result.stderr
    assert chunk[:12] in result.stderr
    assert files(tmp_path / "out") == FILES - {"memgraph/graph.jsonl"}


def test_the_script_finds_a_damaged_manifest(manifest: Manifest, root: Path, tmp_path: Path) -> None:
    path = root / "backups" / f"{manifest.id}.json"
    content = bytearray(path.read_bytes())
    content[300] ^= 1
    path.write_bytes(content)
    assert extract(root, "list").returncode == 1
    assert extract(root, manifest.id, str(tmp_path / "out")).returncode == 1


def test_the_script_refuses_a_manifest_larger_than_any(manifest: Manifest, root: Path, tmp_path: Path) -> None:
    assert LARGEST_MANIFEST == manifest_file.LARGEST
    with (root / "backups" / f"{manifest.id}.json").open("r+b") as file:
        file.truncate(100_000_000)
    result = extract(root, manifest.id, str(tmp_path / "out"))
    assert (result.returncode, "larger than any manifest" in result.stderr) == (1, True)


@pytest.mark.parametrize("arguments", [["latest", "out"], ["20000101T000000Z-0000", "out"], ["20000101T000000Z-0000"]])
def test_the_script_tells_wrong_usage_apart(manifest: Manifest, root: Path, arguments: list[str]) -> None:
    assert extract(root, *arguments).returncode == 2
