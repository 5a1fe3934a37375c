"""What the steps do that need no server: logs, disks, packages, Dagster's old runs."""

from __future__ import annotations

import dataclasses
import gzip
import threading
import time
from pathlib import Path

import dagster as dg
import pytest

from archon_dagster.errors import ArchonError
from archon_dagster.maintenance import disk, graph, logs
from archon_dagster.maintenance.disk import KEPT, bounded, days_until_full
from archon_dagster.maintenance.jobs import remove_old_runs
from archon_dagster.maintenance.step import MaintenanceContext
from archon_dagster.platform.disks import Sample
from archon_dagster_tests.unit.memgraph_double import WITH_DATA, MemgraphDouble
from archon_dagster_tests.unit.platform_double import Platform

DAY = 86_400.0


def lines_of(log: Path) -> list[bytes]:
    packed = b"".join(gzip.decompress(one.read_bytes()) for one in sorted(log.parent.glob(f"{log.name}.*.gz")))
    return (packed + log.read_bytes().lstrip(b"\0")).splitlines()


def test_no_line_is_lost_while_a_log_is_set_aside_under_its_writer(tmp_path: Path) -> None:
    log, end, written = tmp_path / "log", threading.Event(), [0]

    def write() -> None:
        with log.open("ab", buffering=0) as stream:
            while not end.is_set() or written[0] < 5000:
                stream.write(b"line %d of a service that does not know\n" % written[0])
                written[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(5):
            before = written[0]
            while written[0] < before + 2000:
                end.wait(0.001)
            if logs.set_aside(log, kept=10) is None:
                pytest.skip("only on a file system that can give back the beginning of a file")
    finally:
        end.set()
        writer.join()
    assert lines_of(log) == [b"line %d of a service that does not know" % n for n in range(written[0])]
    assert logs.held(log) < log.stat().st_size


def test_only_so_many_archives_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for _ in range(4):
        with log.open("ab") as stream:
            stream.write(b"x" * 10_000)
        if logs.set_aside(log, kept=2) is None:
            pytest.skip("only on a file system that can give back the beginning of a file")
    assert len(list(tmp_path.glob("log.*.gz"))) == 2


def test_a_short_log_is_left_alone(tmp_path: Path) -> None:
    platform = Platform(tmp_path)
    (tmp_path / "webserver.log").write_text("short\n")
    assert logs.rotate(MaintenanceContext(platform.context)).idle
    assert (tmp_path / "webserver.log").read_text() == "short\n"


def test_the_logs_of_replicas_are_rotated_too(tmp_path: Path) -> None:
    platform = Platform(tmp_path)
    service = tmp_path / "services" / "archon-search"
    written = [service / "log", service / "replicas" / "1" / "log", service / "replicas" / "2" / "log"]
    for log in written:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"a line\n" * 3_000)
    settings = platform.settings.model_copy(update={"maintenance_log_bytes": 10_000})
    done = logs.rotate(MaintenanceContext(dataclasses.replace(platform.context, settings=settings)))
    if "left alone" in done.lines[0]:
        pytest.skip("only on a file system that can give back the beginning of a file")
    assert done.detail == "3 logs"
    assert [lines_of(log) for log in written] == [[b"a line"] * 3_000] * 3
    assert [len(list(log.parent.glob("log.*.gz"))) for log in written] == [1, 1, 1]


def test_memgraph_frees_memory_outside_of_any_transaction(tmp_path: Path) -> None:
    """Within one it refuses, as recorded."""
    server = MemgraphDouble(shows=dict(WITH_DATA))
    done = graph.free_memory(MaintenanceContext(Platform(tmp_path).context), server.open)
    assert (done.detail, done.idle) == ("resident memory 60.70MiB -> 60.70MiB", False)
    assert [one.kind for one in server.log if one.text == "FREE MEMORY"] == ["auto-commit"]


def sample(day: float, used: int, total: int = 1000) -> Sample:
    return Sample(disk="/", at=day * DAY, used=used, total=total)


def test_days_until_full_follow_the_growth() -> None:
    assert days_until_full([sample(0, 100)], sample(10, 200)) == pytest.approx(80)
    assert days_until_full([sample(0, 100)], sample(10, 90)) is None
    assert days_until_full([sample(0, 100)], sample(0.5, 200)) is None
    assert days_until_full([], sample(1, 200)) is None


def test_the_history_of_disks_is_bounded() -> None:
    kept = bounded([sample(day, 1) for day in range(3 * KEPT)])
    assert [one.at for one in kept] == [day * DAY for day in range(2 * KEPT, 3 * KEPT)]


def test_a_nearly_full_disk_is_a_failure(tmp_path: Path) -> None:
    platform = Platform(tmp_path)
    full = platform.settings.model_copy(update={"maintenance_disk_critical": 1e-9})
    context = MaintenanceContext(platform.context)
    assert "used" in disk.report(context).detail
    object.__setattr__(platform.context, "settings", full)
    with pytest.raises(ArchonError, match="a disk is nearly full"):
        disk.report(context)


def test_old_runs_go_but_never_the_newest_of_a_job_or_one_that_runs() -> None:
    @dg.job
    def small() -> None: ...

    @dg.job
    def other() -> None: ...

    with dg.instance_for_test() as instance:
        runs = [small.execute_in_process(instance=instance).run_id for _ in range(3)]
        kept = small.execute_in_process(instance=instance, tags={"archon/backup": "20261129T030000Z-7f3a"}).run_id
        alone = other.execute_in_process(instance=instance).run_id
        running = instance.create_run_for_job(small, status=dg.DagsterRunStatus.STARTED).run_id
        latest = small.execute_in_process(instance=instance).run_id
        later = time.time() + 40 * DAY
        assert remove_old_runs(instance, 60, now=later).startswith("0 runs")
        there = frozenset({"20261129T030000Z-7f3a"})
        assert remove_old_runs(instance, 30, keep=runs[1], now=later, backups=there).startswith("2 runs")
        assert {run.run_id for run in instance.get_runs()} == {runs[1], kept, alone, running, latest}
        assert remove_old_runs(instance, 30, keep=runs[1], now=later).startswith("1 runs")
