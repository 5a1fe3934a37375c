"""The tar files of the sandbox's vector server: whole, sparse, reproducible, and safe to unpack."""

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archon_dagster.sandbox.vectors import tarball

PAGE = tarball.PAGE


def packed(path: Path, name: str = "member") -> bytes:
    target = io.BytesIO()
    writer = tarball.TarWriter(target)
    writer.add_file(name, path)
    writer.close()
    return target.getvalue()


def pages(path: Path, filled: set[int], count: int, tail: int = 0) -> bytes:
    content = b"".join(bytes([1 + n % 255]) * PAGE if n in filled else bytes(PAGE) for n in range(count)) + b"t" * tail
    path.write_bytes(content)
    return content


@given(filled=st.sets(st.integers(0, 119)), tail=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_what_is_packed_is_read_back(tmp_path_factory: pytest.TempPathFactory, filled: set[int], tail: int) -> None:
    path = tmp_path_factory.mktemp("packed") / "file"
    content = pages(path, filled, 120, tail)
    with tarfile.open(fileobj=io.BytesIO(packed(path))) as tar:
        (member,) = tar.getmembers()
        extracted = tar.extractfile(member)
        assert extracted is not None
        assert (member.size, extracted.read()) == (len(content), content)


@pytest.mark.skipif(shutil.which("tar") is None, reason="no tar program")
def test_the_tar_program_reads_it_too(tmp_path: Path) -> None:
    content = pages(tmp_path / "file", set(range(0, 100, 2)), 100)
    (tmp_path / "a.tar").write_bytes(packed(tmp_path / "file"))
    subprocess.run(["tar", "-xf", "a.tar"], cwd=tmp_path, check=True)
    assert (tmp_path / "member").read_bytes() == content


def test_holes_are_not_stored(tmp_path: Path) -> None:
    pages(tmp_path / "file", {0, 999}, 1000)
    assert len(packed(tmp_path / "file")) == 512 + 2 * PAGE + 1024


def test_bytes_depend_on_the_content_and_not_on_how_it_is_allocated(tmp_path: Path) -> None:
    content = pages(tmp_path / "written", {3, 4, 50}, 100)
    with (tmp_path / "sparse").open("wb") as file:
        for page in (3, 4, 50):
            file.seek(page * PAGE)
            file.write(content[page * PAGE : (page + 1) * PAGE])
        file.truncate(len(content))
    assert packed(tmp_path / "written") == packed(tmp_path / "sparse")


def test_long_names_are_kept(tmp_path: Path) -> None:
    pages(tmp_path / "file", {1}, 10)
    name = "snapshot/files/" + "n" * 150
    with tarfile.open(fileobj=io.BytesIO(packed(tmp_path / "file", name))) as tar:
        assert tar.getnames() == [name]


def test_a_sparse_copy_is_equal(tmp_path: Path) -> None:
    content = pages(tmp_path / "file", {5, 6, 90}, 100, tail=7)
    tarball.copy_sparse(tmp_path / "file", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content


@pytest.mark.parametrize("cut", [100, 512, 600, 512 + PAGE])
def test_a_member_that_is_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    pages(tmp_path / "file", {0, 1, 2}, 3)
    (tmp_path / "cut.tar").write_bytes(packed(tmp_path / "file")[:cut])
    with pytest.raises(tarball.Malformed):
        tarball.unpack(tmp_path / "cut.tar", tmp_path / "out")


@pytest.mark.parametrize("name", ["../outside", "/tmp/absolute-is-made-relative/../../outside"])
def test_nothing_is_written_outside(tmp_path: Path, name: str) -> None:
    target = io.BytesIO()
    writer = tarball.TarWriter(target)
    writer.add_bytes(name, b"x")
    writer.close()
    (tmp_path / "evil.tar").write_bytes(target.getvalue())
    with pytest.raises(tarball.Malformed):
        tarball.unpack(tmp_path / "evil.tar", tmp_path / "inner" / "out")
    assert not (tmp_path / "outside").exists()
