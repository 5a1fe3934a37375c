"""The other tools, where they are installed: one small adapter each, all with their own defaults for local disks."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from benchmarks.measure import aside, command


class Restic:
    """restic, its repository and cache below one folder. It encrypts always; there is no switch."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.env = {
            "RESTIC_REPOSITORY": str(folder / "repository"),
            "RESTIC_PASSWORD": "benchmark",
            "RESTIC_CACHE_DIR": str(folder / "cache"),
        }

    @staticmethod
    def version() -> str | None:
        return _version("restic", "version")

    def init(self) -> None:
        aside(self.folder)
        self.folder.mkdir(parents=True)
        command("restic", "init", "--quiet", env=self.env)

    def backup(self, folder: Path) -> float:
        return command("restic", "backup", "--quiet", "--force", str(folder), env=self.env)

    def check(self) -> float:
        return command("restic", "check", "--quiet", "--read-data", env=self.env)

    def restore(self, target: Path) -> float:
        return command("restic", "restore", "latest", "--quiet", "--verify", "--target", str(target), env=self.env)

    def size(self) -> int:
        return _size(self.folder / "repository")


class Borg:
    """borg without encryption, with its default compression (lz4)."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.env = {"BORG_REPO": str(folder / "repository"), "BORG_BASE_DIR": str(folder),
                    "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}  # fmt: skip
        self.count = 0

    @staticmethod
    def version() -> str | None:
        return _version("borg", "--version")

    def init(self) -> None:
        aside(self.folder)
        self.folder.mkdir(parents=True)
        command("borg", "init", "--encryption", "none", env=self.env)

    def backup(self, folder: Path) -> float:
        self.count += 1
        return command("borg", "create", "--files-cache", "disabled", f"::a{self.count}", str(folder), env=self.env)

    def check(self) -> float:
        return command("borg", "check", "--verify-data", env=self.env)

    def restore(self, target: Path) -> float:
        target.mkdir(parents=True)
        return command("sh", "-c", f"cd '{target}' && borg extract ::a{self.count}", env=self.env)

    def size(self) -> int:
        return _size(self.folder / "repository")


def _version(program: str, argument: str) -> str | None:
    if shutil.which(program) is None:
        return None
    return " ".join(subprocess.run([program, argument], capture_output=True, text=True, check=True).stdout.split()[:2])


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
