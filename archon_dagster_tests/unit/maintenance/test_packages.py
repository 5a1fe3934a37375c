"""Packages of the host, with an `apt-get` that notes how it is called and says what the real one says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from archon_dagster.errors import ArchonError, ConfirmationMissing
from archon_dagster.maintenance import packages
from archon_dagster.maintenance.packages import CONFIRMATION
from archon_dagster.maintenance.step import Done, MaintenanceContext
from archon_dagster.platform import container
from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.unit.platform_double import Platform

LISTING = """\
NOTE: This is only a simulation!
      apt-get needs root privileges for real execution.
      Keep also in mind that locking is deactivated,
      so don't depend on the relevance to the real current situation!
Reading package lists...
Building dependency tree...
Reading state information...
Calculating upgrade...
The following packages have been kept back:
  linux-image-amd64
The following packages will be upgraded:
  libpq5 unzip
2 upgraded, 0 newly installed, 0 to remove and 1 not upgraded.
Inst libpq5 [15.13-0+deb12u1] (15.20-0+deb12u1 Debian-Security:12/oldstable-security [amd64])
Inst unzip [6.0-28] (6.0-28+deb12u1 Debian-Security:12/oldstable-security [amd64]) []
Conf libpq5 (15.20-0+deb12u1 Debian-Security:12/oldstable-security [amd64])
Conf unzip (6.0-28+deb12u1 Debian-Security:12/oldstable-security [amd64])
"""
LISTED = (
    "libpq5 [15.13-0+deb12u1] (15.20-0+deb12u1 Debian-Security:12/oldstable-security [amd64])",
    "unzip [6.0-28] (6.0-28+deb12u1 Debian-Security:12/oldstable-security [amd64])",
    "2 upgraded, 0 newly installed, 0 to remove and 1 not upgraded.",
)
NOTHING = "Reading package lists...\n0 upgraded, 0 newly installed, 0 to remove and 1 not upgraded.\n"
ASKED, INSTALLED = "C noninteractive --simulate upgrade", "C noninteractive upgrade --yes"


@dataclass
class Apt:
    """The program on the path."""

    folder: Path
    platform: Platform

    def says(self, listing: str = LISTING, *, simulating: str = "", installing: str = "") -> None:
        """What it prints when it simulates, and what it does then, and when it installs."""
        (self.folder / "listing").write_text(listing)
        program = self.folder / "bin" / "apt-get"
        program.write_text(
            f"""#!/bin/sh
echo "$LC_ALL $DEBIAN_FRONTEND $*" >> {self.folder}/called
case "$*" in
*--simulate*) cat {self.folder}/listing; {simulating or ":"} ;;
*) {installing or ":"} ;;
esac
"""
        )
        program.chmod(0o755)

    @property
    def called(self) -> list[str]:
        called = self.folder / "called"
        return called.read_text().splitlines() if called.exists() else []

    def update(self, typed: str = "") -> Done:
        return packages.update(MaintenanceContext(self.platform.context, confirm_packages=typed))


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Apt:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(container, "MARKS", (tmp_path / ".dockerenv",))
    made = Apt(tmp_path, Platform(tmp_path / "home"))
    made.says()
    return made


def test_they_are_only_listed_unless_confirmed(apt: Apt) -> None:
    done = apt.update()
    assert (done.detail, done.lines) == ("2 packages could be upgraded; nothing was installed", LISTED)
    assert apt.called == [ASKED]


def test_they_are_installed_when_it_is_typed(apt: Apt) -> None:
    done = apt.update(CONFIRMATION)
    assert (done.detail, done.lines) == ("2 packages were upgraded", LISTED)
    assert apt.called == [ASKED, INSTALLED]


def test_a_wrong_word_asks_nobody(apt: Apt) -> None:
    with pytest.raises(ConfirmationMissing, match="nothing was touched"):
        apt.update("yes")
    assert apt.called == []


def test_where_there_is_nothing_to_upgrade_nothing_is_installed_although_it_was_typed(apt: Apt) -> None:
    apt.says(NOTHING)
    done = apt.update(CONFIRMATION)
    assert done.idle and done.detail.startswith("nothing to upgrade")
    assert apt.called == [ASKED]


def test_a_host_without_apt_is_not_an_error(apt: Apt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(apt.folder))
    assert apt.update(CONFIRMATION).detail == "not applicable: there is no apt here"


def test_the_packages_of_a_container_are_not_those_of_the_host(apt: Apt) -> None:
    (apt.folder / ".dockerenv").touch()
    done = apt.update(CONFIRMATION)
    assert done.idle and done.detail.startswith("not applicable: this runs in a container")
    assert apt.called == []


def test_a_failure_is_an_error_with_its_last_lines(apt: Apt) -> None:
    lines = "; ".join(f"echo 'W: warning {number}' >&2" for number in range(20))
    lock = "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 4711 (unattended-upgr)"
    apt.says(installing=f"{lines}; echo '{lock}' >&2; exit 100")
    with pytest.raises(ArchonError) as raised:
        apt.update(CONFIRMATION)
    assert raised.value.what.startswith("apt-get upgrade --yes failed: W: warning ")
    assert raised.value.what.endswith(lock)
    assert "warning 19" in raised.value.what and "warning 9 " not in raised.value.what


def test_a_listing_that_fails_installs_nothing(apt: Apt) -> None:
    apt.says(simulating="echo 'E: Unmet dependencies.' >&2; exit 100")
    with pytest.raises(ArchonError, match="apt-get --simulate upgrade failed: E: Unmet dependencies"):
        apt.update(CONFIRMATION)
    assert apt.called == [ASKED]


@pytest.mark.parametrize("limit", ["_LIST_LIMIT", "_INSTALL_LIMIT"])
def test_one_that_hangs_meets_its_deadline(apt: Apt, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    hang = f"echo $$ > {apt.folder}/pid; exec sleep 600"
    monkeypatch.setattr(packages, limit, 2.0)
    apt.says(**{"simulating" if limit == "_LIST_LIMIT" else "installing": hang})
    with pytest.raises(ArchonError, match="did not end within 2 s"):
        apt.update(CONFIRMATION)
    pid = int((apt.folder / "pid").read_text())
    assert not psutil.pid_exists(pid)
    assert len(apt.called) == (1 if limit == "_LIST_LIMIT" else 2)


def test_what_a_hanging_one_has_started_is_not_killed_half_way(apt: Apt, monkeypatch: pytest.MonkeyPatch) -> None:
    """As dpkg, which goes on when apt is gone, and writes: to a pipe without a reader that would be its end."""
    monkeypatch.setattr(packages, "_INSTALL_LIMIT", 1.0)
    apt.says(installing=f"(sleep 2; echo unpacked; echo configured; touch {apt.folder}/ended) & exec sleep 600")
    with pytest.raises(ArchonError, match="did not end within 1 s") as failed:
        apt.update(CONFIRMATION)
    assert "dpkg --audit" in (failed.value.todo or "")
    eventually((apt.folder / "ended").exists)
