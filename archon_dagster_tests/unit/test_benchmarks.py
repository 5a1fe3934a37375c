"""The page of the benchmarks says what was measured, names every target that is missed, and loses no figure."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as program
from benchmarks import report, results
from benchmarks.bounds import bounds
from benchmarks.measure import ChildrenPeak, Row
from benchmarks.results import Part
from benchmarks.targets import targets

DOCS = Path(__file__).resolve().parents[2] / "docs"
HERE = {"cores": "2", "on": "2026-01-01"}
NAMED = re.findall(r"^\| `(\w+)` \|", (DOCS / "benchmarks.md").read_text(), re.MULTILINE)
PROMISED = {
    "listing": [("list",), ("latest",), ("prune_plan",)],
    "platform": [
        ("backup", "export_went_into", "vectors", "transfer"),
        ("search_milliseconds", "archon-search, beside a backup, the writers paused", "p95"),
        ("graph_load", "times_as_fast_as_replay"),
    ],
}
"""Figures that the page explains: a part without them was measured before they were added."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "benchmarks.md").write_text(f"# By hand\n\n{report.BEGIN}\nSTALE\n{report.END}\n\nthe end\n")
    return tmp_path


def repository(ours: float, restic: float) -> Part:
    row = Row("verify", {"archon_dagster": [ours] * 3, "restic": [restic] * 3}, targets={"restic": 6}, bytes=10**8)
    return Part(HERE, [row])


def test_a_part_that_is_measured_again_replaces_its_own_figures_and_no_others(folder: Path) -> None:
    report.write(folder, {"listing": Part(HERE, facts={"list": 1.25}), "repository": repository(1.0, 2.0)})
    report.write(folder, {"listing": Part(HERE | {"on": "2026-02-02"}, facts={"list": 0.75})})
    page = (folder / "benchmarks.md").read_text()
    assert page.startswith("# By hand\n") and page.endswith("\n\nthe end\n") and "STALE" not in page
    assert "| listing, list | 0.75 |" in page and "1.25" not in page
    assert "| verify | times as long as ours, restic | 2 | ≥ 6 | ✗ |" in page
    assert "- listing: cores 2, on 2026-02-02." in page and "- repository: cores 2, on 2026-01-01." in page


def test_what_is_read_back_is_what_was_written(folder: Path) -> None:
    part = repository(1.0, 7.0)
    report.write(folder, {"repository": part})
    (found,) = results.load(folder).values()
    assert [row.median("restic") for row in found.rows] == [7.0] and found.machine == HERE
    assert [target.reached for target in targets({"repository": found})] == [True]


def test_every_part_has_its_targets() -> None:
    parts = {
        "memory": Part(HERE, facts={"mib_above_idle": {"graph, export": {"1x": 80.0, "10x": 257.0}}}),
        "platform": Part(HERE, facts={"graph_load": {"times_as_fast_as_replay": 4.9}}),
        "startup": Part(HERE, facts={"cold_to_healthy": 15.0}),
        "repository": Part(
            HERE,
            [Row("unchanged, read again", {"archon_dagster": [1.0]})],
            {"unchanged_added": 0, "half_percent_added": {"archon_dagster": 32, "restic": 100}},
        ),
    }
    assert {(target.topic, target.reached) for target in targets(parts)} == {
        ("memory", False), ("graph load", False), ("start", True), ("unchanged, read again", True),
        ("half a percent changed", True),
    }  # fmt: skip


def test_the_page_is_the_one_that_its_figures_make() -> None:
    assert report.text(results.load(DOCS)) in (DOCS / "benchmarks.md").read_text()


def test_every_target_that_is_missed_has_its_bound_on_the_page() -> None:
    parts = results.load(DOCS)
    missed = {target.topic for target in targets(parts) if not target.reached}
    assert missed <= bounds(parts).keys()
    page = (DOCS / "benchmarks.md").read_text()
    assert "cannot be told before" not in page and "not profiled yet" not in page
    assert all(f"- *{topic}*: " in page for topic in missed)


def test_the_page_names_every_part() -> None:
    assert tuple(NAMED) == results.ORDER


@pytest.mark.parametrize("part", NAMED)
def test_every_part_that_the_page_names_has_its_figures(part: str) -> None:
    found = results.load(DOCS).get(part, Part({}))
    assert found.rows or found.facts
    assert [path for path in PROMISED.get(part, []) if found.fact(*path) is None] == []


@pytest.mark.parametrize(
    ("words", "written"),
    [([], True), (["--rounds", "1"], True), (["--megabytes", "5"], False), (["--megabytes", "5", "--out", "x"], True)],
)
def test_figures_of_other_sizes_are_not_written_over_the_usual_ones(
    words: list[str], written: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", "machine", *words])
    options: Any
    options, usual = program._arguments()
    assert usual is written and options.parts == ["machine"]


def test_a_part_is_written_before_the_next_one_can_fail(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> Part:
        raise RuntimeError("the disk is full")

    monkeypatch.setitem(program._PARTS, "machine", lambda *_: Part(HERE, facts={"speed": 7}))
    monkeypatch.setitem(program._PARTS, "listing", fail)
    arguments = ["benchmarks", "machine", "listing", "--data", str(folder / "data"), "--out", str(folder)]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(RuntimeError, match="full"):
        program.main()
    assert results.load(folder)["machine"].fact("speed") == 7 and "speed" in capsys.readouterr().out
    assert not list((folder / "data").iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux")
def test_the_memory_of_another_process_is_what_it_holds_itself_without_the_files_it_has_mapped(tmp_path: Path) -> None:
    mapped = tmp_path / "mapped"
    mapped.write_bytes(b"x" * (64 << 20))
    holding = (
        "import mmap, sys, time; opened = open(sys.argv[1], 'rb'); "
        "file = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ); "
        "read = file[::4096]; held = bytes([1]) * (48 << 20); time.sleep(0.5)"
    )
    larger = "held = bytes([1]) * (128 << 20); print(flush=True); input()"
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", larger], **pipes) as earlier:  # is not counted: it was there before
        earlier.stdout.readline()
        with ChildrenPeak() as children:
            subprocess.run([sys.executable, "-c", holding, str(mapped)], check=True, timeout=60)
        earlier.stdin.close()
    assert 48 <= children.mib < 48 + 40
