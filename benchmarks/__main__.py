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

from benchmarks import data, generator, listing, machine, memory, report, s3, startup
from benchmarks.peers import Borg, Restic
from benchmarks.platform import PlatformBenchmark
from benchmarks.repository import RepositoryBenchmark
from benchmarks.results import ORDER, Part

_SIZES = ("megabytes", "backups", "files", "points", "records")
_OUT = Path("docs")


def main() -> int:
    """Run the parts that were asked for. What a part has found is written as soon as it is there, beside the figures
    of the others; figures of other sizes are not, unless somewhere else is named for them."""
    options, usual = _arguments()
    if options.page:
        report.write(options.out, {})
        return 0
    scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=_made(options.data)))
    try:
        for name in options.parts:
            _say(name)
            found = {name: _PARTS[name](options, scratch)}
            _say(report.text(found))
            if usual:
                report.write(_made(options.out), found)
                _say(f"written: {options.out}/benchmarks.md, .json, .svg")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


def _absolute(path: str) -> Path:
    """The peers run in directories of their own."""
    return Path(path).absolute()


def _data(options: argparse.Namespace) -> Path:
    """Made once, and kept."""
    folder: Path = options.data / f"{options.megabytes}"
    data.make(folder, options.megabytes)
    return folder


def _repository(options: argparse.Namespace, scratch: Path) -> Part:
    benchmark = RepositoryBenchmark(_data(options), scratch, options.rounds)
    return Part(_machine(), benchmark.run(), benchmark.facts)


def _platform(options: argparse.Namespace, scratch: Path) -> Part:
    benchmark = PlatformBenchmark(scratch / "platform", files=options.files, points=options.points)
    benchmark.run()
    return Part(_machine(), facts=benchmark.facts)


def _facts(made: Callable[[argparse.Namespace, Path], dict[str, Any]]) -> Callable[[argparse.Namespace, Path], Part]:
    return lambda options, scratch: Part(_machine(), facts=made(options, scratch))


_PARTS: dict[str, Callable[[argparse.Namespace, Path], Part]] = {
    "machine": _facts(lambda options, scratch: {"mb_per_second": machine.run(_data(options), scratch)}),
    "repository": _repository,
    "memory": _facts(lambda options, scratch: memory.run(_data(options), scratch)),
    "generator": _facts(lambda options, _: generator.run(options.records, generator.DIMENSION)),
    "s3": _facts(lambda options, _: s3.run(_data(options))),
    "listing": _facts(lambda options, scratch: listing.run(_made(scratch / "listing"), options.backups)),
    "platform": _platform,
    "startup": _facts(lambda options, scratch: startup.run(scratch / "startup", options.rounds)),
}


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


def _arguments() -> tuple[argparse.Namespace, bool]:
    """What was asked for, and whether its figures may be written."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(ORDER), help=f"of {', '.join(_PARTS)}; default all")
    parser.add_argument("--data", type=_absolute, default=".archon/benchmarks", help="made once, and kept")
    parser.add_argument("--out", type=Path, default=_OUT)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backups", type=int, default=1000)
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--points", type=int, default=3200)
    parser.add_argument("--records", type=int, default=1_000_000, help="of the generator")
    parser.add_argument("--page", action="store_true", help="measure nothing, make the page from the figures")
    options = parser.parse_args()
    if unknown := [part for part in options.parts if part not in _PARTS]:
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(_PARTS)}")
    usual = all(getattr(options, size) == parser.get_default(size) for size in _SIZES)
    return options, usual or options.out != _OUT


if __name__ == "__main__":
    sys.exit(main())
