"""``python -m benchmarks``: measure, and write the figures into ``docs/``. See ``docs/benchmarks.md``."""

from __future__ import annotations

import argparse
import os
import platform as host
import shutil
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import data, listing, machine, memory, report, s3, startup
from benchmarks.measure import Row
from benchmarks.peers import Borg, Restic
from benchmarks.platform import PlatformBenchmark
from benchmarks.repository import RepositoryBenchmark

PARTS = ("machine", "repository", "memory", "s3", "listing", "platform", "startup")


def main() -> int:
    """Run the parts that were asked for; the page is only written when all of them ran."""
    options = _arguments()
    rows: list[Row] = []
    facts: dict[str, Any] = {}
    scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=_made(options.data)))
    try:
        for part in options.parts:
            _say(part)
            _PARTS[part](options, scratch, rows, facts)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    _say(report.tables(rows, facts, _machine()))
    if set(options.parts) == set(PARTS):
        report.write(options.out, rows, facts, _machine())
        _say(f"written: {options.out}/benchmarks.md, .json, .svg")
    return 0


def _absolute(path: str) -> Path:
    """The peers run in directories of their own."""
    return Path(path).absolute()


def _repository(options: argparse.Namespace, scratch: Path, rows: list[Row], facts: dict[str, Any]) -> None:
    data.make(options.data / f"{options.megabytes}", options.megabytes)
    benchmark = RepositoryBenchmark(options.data / f"{options.megabytes}", scratch, options.rounds)
    rows += benchmark.run()
    facts["repository"] = benchmark.facts


def _ceilings(options: argparse.Namespace, scratch: Path, rows: list[Row], facts: dict[str, Any]) -> None:
    data.make(options.data / f"{options.megabytes}", options.megabytes)
    facts["machine_mb_per_second"] = machine.run(options.data / f"{options.megabytes}", scratch)


def _memory(options: argparse.Namespace, scratch: Path, rows: list[Row], facts: dict[str, Any]) -> None:
    data.make(options.data / f"{options.megabytes}", options.megabytes)
    facts["memory_mib_above_idle"] = memory.run(options.data / f"{options.megabytes}", scratch)


def _s3(options: argparse.Namespace, scratch: Path, rows: list[Row], facts: dict[str, Any]) -> None:
    data.make(options.data / f"{options.megabytes}", options.megabytes)
    facts["s3"] = s3.run(options.data / f"{options.megabytes}")


def _listing(options: argparse.Namespace, scratch: Path, rows: list[Row], facts: dict[str, Any]) -> None:
    facts["listing_seconds"] = listing.run(_made(scratch / "listing"), options.backups)


def _platform(options: argparse.Namespace, scratch: Path, rows: list[Row], facts: dict[str, Any]) -> None:
    benchmark = PlatformBenchmark(scratch / "platform", files=options.files, points=options.points)
    benchmark.run()
    facts["platform"] = benchmark.facts


def _startup(options: argparse.Namespace, scratch: Path, rows: list[Row], facts: dict[str, Any]) -> None:
    facts["startup_seconds"] = startup.run(scratch / "startup", options.rounds)


_PARTS: dict[str, Callable[[argparse.Namespace, Path, list[Row], dict[str, Any]], None]] = {
    "machine": _ceilings, "repository": _repository, "memory": _memory, "s3": _s3, "listing": _listing,
    "platform": _platform, "startup": _startup,
}  # fmt: skip


def _machine() -> dict[str, str]:
    peers = [version for version in (Restic.version(), Borg.version()) if version]
    return {
        "cores": str(os.cpu_count()), "system": f"{host.system()} {host.machine()}",
        "Python": host.python_version(), "peers": ", ".join(["tar and gzip", *peers]),
        "on": datetime.now(UTC).strftime("%Y-%m-%d"),
    }  # fmt: skip


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=f"of {', '.join(PARTS)}; default all")
    parser.add_argument("--data", type=_absolute, default=".archon/benchmarks", help="made once, and kept")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backups", type=int, default=1000)
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--points", type=int, default=3200)
    options = parser.parse_args()
    if unknown := [part for part in options.parts if part not in PARTS]:
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
