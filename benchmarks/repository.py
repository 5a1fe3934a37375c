"""Ingest, incremental, verify and read back: the repository against tar, gzip, restic and borg."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import LIMIT, Contender, Row, aside, command, in_turn
from benchmarks.peers import Borg, Restic

OURS = "archon_dagster"


class RepositoryBenchmark:
    """All of it on one set of data; figures that are no times are gathered in ``facts``."""

    def __init__(self, data: Path, scratch: Path, rounds: int):
        self.base, self.changed, self.scratch, self.rounds = data / "base", data / "changed", scratch, rounds
        self.mine = scratch / "ours"
        self.restic = Restic(scratch / "restic") if Restic.version() else None
        self.borg = Borg(scratch / "borg") if Borg.version() else None
        self.others = [(name, peer) for name, peer in (("restic", self.restic), ("borg", self.borg)) if peer]
        self.size = sum(path.stat().st_size for path in self.base.iterdir())
        self.facts: dict[str, Any] = {"bytes": self.size}
        self.last: dict[str, Any] = {}

    def run(self) -> list[Row]:
        warm(self.base)
        warm(self.changed)
        return [self.ingest(), self.unchanged(), self.half_percent(), self.verify(), self.read_back()]

    def ingest(self) -> Row:
        """Artifacts into an empty repository, durable."""
        archive = self.scratch / "archive"
        contenders = [
            Contender(OURS, self._ours("ingest", self.mine, self.base), self._empty),
            Contender("tar czf", lambda: command("tar", "czf", f"{archive}.tgz", "-C", str(self.base), ".")),
            Contender("tar + sync", lambda: command(
                "sh", "-c", f"tar cf '{archive}.tar' -C '{self.base}' . && sync -f '{archive}.tar'"
            ), lambda: archive.with_suffix(".tar").unlink(missing_ok=True)),
            *(Contender(name, partial(peer.backup, self.base), peer.init) for name, peer in self.others),
        ]  # fmt: skip
        row = in_turn("ingest", contenders, self.rounds, bytes=self.size,
                      targets={"tar czf": 25, "restic": 3, "tar + sync": 1})  # fmt: skip
        self.facts["ingest"] = {**self.last, "tgz_bytes": Path(f"{archive}.tgz").stat().st_size}
        self.facts["first_backup_stored"] = {
            OURS: size(self.mine / "chunks"), **{name: peer.size() for name, peer in self.others}
        }  # fmt: skip
        return row

    def unchanged(self) -> Row:
        """The same artifacts again, read whole."""
        contenders = [
            Contender(OURS, self._ours("ingest", self.mine, self.base)),
            *(Contender(name, partial(peer.backup, self.base)) for name, peer in self.others),
        ]
        row = in_turn("unchanged, read again", contenders, self.rounds, bytes=self.size, targets={"restic": 3})
        self.facts["unchanged_added"] = self.last["added"]
        return row

    def half_percent(self) -> Row:
        """Snapshots of which half a percent of the points changed, into a repository that has the others.

        Then the graph and the tables, whose changes are spread over all of their lines: nobody's pieces are so small
        that some of them stay as they were.
        """
        snapshots = self._only(".snapshot")
        row, self.facts["half_percent_added"] = self._added("half a percent changed", snapshots)
        _, self.facts["half_percent_of_the_lines_added"] = self._added("", self.changed)
        return row

    def _added(self, title: str, folder: Path) -> tuple[Row, dict[str, int]]:
        """Everybody backs the folder up, once: the seconds, and the bytes it added."""
        before = {name: peer.size() for name, peer in self.others}
        contenders = [
            Contender(OURS, self._ours("ingest", self.mine, folder)),
            *(Contender(name, partial(peer.backup, folder)) for name, peer in self.others),
        ]
        row = in_turn(title, contenders, 1, bytes=size(folder))
        return row, {OURS: self.last["added"], **{name: peer.size() - before[name] for name, peer in self.others}}

    def _only(self, suffix: str) -> Path:
        """A folder with some of the changed artifacts, which take no more room by that."""
        folder = self.scratch / "some"
        folder.mkdir()
        for path in self.changed.glob(f"*{suffix}"):
            (folder / path.name).hardlink_to(path)
        return folder

    def verify(self) -> Row:
        """Every byte of the newest backup proven."""
        archive = f"{self.scratch / 'archive'}.tgz"
        contenders = [
            Contender(OURS, self._ours("verify", self.mine)),
            Contender("gzip -t", lambda: command("gzip", "-t", archive)),
            *(Contender(name, peer.check) for name, peer in self.others),
        ]
        return in_turn("verify", contenders, self.rounds, bytes=self.size, targets={"gzip -t": 10, "restic": 6})

    def read_back(self) -> Row:
        """The newest backup as plain files, proven; ours also synced."""
        target, archive = self.scratch / "target", f"{self.scratch / 'archive'}.tgz"

        def clear() -> None:
            shutil.rmtree(target, ignore_errors=True)

        contenders = [
            Contender(OURS, self._ours("export", self.mine, target), clear),
            Contender("tar xzf", lambda: command("sh", "-c", f"mkdir '{target}' && tar xzf '{archive}' -C '{target}'"),
                      clear),
            *(Contender(name, partial(peer.restore, target), clear) for name, peer in self.others),
        ]  # fmt: skip
        row = in_turn("read back, verified", contenders, self.rounds, bytes=self.size,
                      targets={"tar xzf": 6, "restic": 2.5})  # fmt: skip
        clear()
        return row

    def _empty(self) -> None:
        aside(self.mine)
        self.mine.mkdir(parents=True)

    def _ours(self, verb: str, *paths: Path) -> Callable[[], float]:
        def run() -> float:
            self.last = ours(verb, *paths)
            return float(self.last["seconds"])

        return run


def ours(verb: str, *places: Path | str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """One operation in a process of its own."""
    words = [sys.executable, "-m", "benchmarks.ours", verb, *map(str, places)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT, env={**os.environ, **(env or {})})
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def warm(folder: Path) -> None:
    """Read everything once, so that no contender pays for the disk."""
    for path in folder.iterdir():
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 22):
                pass


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
