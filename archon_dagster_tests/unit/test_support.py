from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from archon_dagster.errors import ConfigurationError
from archon_dagster.sandbox import support
from archon_dagster.sandbox.support import Machine, check_supported, reason_against

DEBIAN = Machine("Linux", "x86_64", (2, 36), (3, 11))


@pytest.mark.parametrize(
    "machine",
    [
        DEBIAN,
        dataclasses.replace(DEBIAN, processor="aarch64", glibc=(2, 34), python=(3, 13)),
        Machine("Darwin", "arm64", None, (3, 12)),
    ],
)
def test_machines_with_wheels_are_supported(machine: Machine) -> None:
    check_supported(machine)


@pytest.mark.parametrize(
    ("machine", "named"),
    [
        (dataclasses.replace(DEBIAN, glibc=(2, 31)), r"glibc 2\.34"),
        (dataclasses.replace(DEBIAN, glibc=None), "GNU C library"),
        (dataclasses.replace(DEBIAN, processor="armv7l"), "armv7l"),
        (dataclasses.replace(DEBIAN, python=(3, 10)), r"Python 3\.10"),
        (dataclasses.replace(DEBIAN, python=(3, 14)), r"Python 3\.14"),
        (Machine("Darwin", "x86_64", None, (3, 12)), "macOS on x86_64"),
        (Machine("Windows", "x86_64", None, (3, 12)), "Windows"),
    ],
)
def test_other_machines_are_refused_with_the_reason_and_a_way_out(machine: Machine, named: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{named}[\s\S]*docs/docker\.md"):
        check_supported(machine)


def test_this_machine_is_understood() -> None:
    assert reason_against(support.this_machine()) is None


def test_the_check_runs_as_a_plain_file_before_anything_is_installed(tmp_path: Path) -> None:
    source = Path(support.__file__)
    # -I -S: no installed packages, no current directory
    done = subprocess.run(
        [sys.executable, "-I", "-S", source], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_make_stops_on_an_unsupported_machine_before_it_installs_anything(tmp_path: Path) -> None:
    checkout = Path(__file__).parents[2]
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(checkout / name, tmp_path)
    checked = tmp_path / "archon_dagster" / "sandbox" / "support.py"
    checked.parent.mkdir(parents=True)
    source = Path(support.__file__).read_text()
    checked.write_text(source.replace("_OLDEST_GLIBC = (2, 34)", "_OLDEST_GLIBC = (99, 0)").replace('("arm64",)', "()"))
    done = subprocess.run(
        ["make", "demo", f"PYTHON={sys.executable}"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "the embedded platform cannot run here" in done.stderr and "docs/docker.md" in done.stderr
    assert not (tmp_path / ".venv").exists()
