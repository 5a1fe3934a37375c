"""The file is replaced as a whole and stays its owner's, or it stays as it was."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from archon_dagster.configuration import target

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only as root: a file is given to somebody else")
NOBODY = 65534


@pytest.fixture
def file() -> Iterator[Path]:
    """In a directory that everybody can write to; above pytest's own only its user can pass."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o777)
        file = Path(directory) / ".env"
        file.write_bytes(b"A=1\n")
        yield file


def test_it_stays_its_owners(file: Path) -> None:
    os.chown(file, NOBODY, NOBODY)
    target.write(file, b"A=2\n")
    status = file.stat()
    assert (status.st_uid, status.st_gid) == (NOBODY, NOBODY)
    assert file.read_bytes() == b"A=2\n"


def test_where_it_cannot_stay_its_owners_nothing_is_replaced(file: Path) -> None:
    before = file.stat()
    file.chmod(0o644)  # to be read by everybody
    script = (
        "import os, sys; from pathlib import Path; from archon_dagster.configuration import target\n"
        f"os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        "target.write(Path(sys.argv[1]), b'A=2\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert "cannot be written: Operation not permitted; the file is as it was" in done.stderr
    assert file.read_bytes() == b"A=1\n"
    assert file.stat().st_ino == before.st_ino
    assert [one.name for one in file.parent.iterdir()] == [".env"]
