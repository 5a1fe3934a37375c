"""Generated data on real servers: written, found again, taken up, and through a whole round trip."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.context import open_context
from archon_dagster.errors import Cancelled, ConfigurationError, StoreUnavailable
from archon_dagster.restore.restore import RestoreRequest, restore_backup
from archon_dagster.sandbox import lifecycle
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster.sandbox.seed.scale import ScaleReport, seed_scale
from archon_dagster.sandbox.seed.scale.collections import MAIN, NAMED
from archon_dagster.sandbox.seed.scale.graph import GraphSeed, endpoint
from archon_dagster.sandbox.seed.scale.mixing import point_id
from archon_dagster.sandbox.seed.scale.odd_json import TEXTS
from archon_dagster.sandbox.seed.scale.vectors import VectorSeed, connected
from archon_dagster.stores.base import STORES, Progress, Work
from archon_dagster.stores.graph.connection import Bolt, Row
from archon_dagster.stores.graph.dialect import choose
from archon_dagster.stores.graph.driver import open_driver
from archon_dagster.stores.graph.store import open_graph
from archon_dagster.stores.relational import open_relational
from archon_dagster.stores.vectors.client import Client
from archon_dagster.stores.vectors.store import open_vectors
from archon_dagster.stores.vectors.transport import Refused

pytestmark = [pytest.mark.sandbox, pytest.mark.long, pytest.mark.timeout(300)]

SCALE, DIMENSION = 300, 64


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox of this module's own, because it is wiped."""
    home = tmp_path_factory.mktemp("scale")
    yield lifecycle.up(home, owner_pid=os.getpid())
    lifecycle.down(home)
    shutil.rmtree(home)


def generated(platform: Sandbox, scratch: Path, scale: int = SCALE, dimension: int = DIMENSION) -> ScaleReport:
    return seed_scale(platform.settings, platform.runtime, scale, Work(scratch), dimension=dimension)


def wiped(platform: Sandbox) -> None:
    for store in STORES[:3]:
        lifecycle.wipe(platform.home, store)


def test_generated_data_survive_backup_loss_and_restore(platform: Sandbox, tmp_path: Path) -> None:
    generated(platform, tmp_path)
    context = open_context(platform.settings)
    before = context.fingerprints()
    result = take_backup(context, BackupRequest())
    assert result.good, [check for check in result.checks if not check.passed]
    for store in STORES:
        lifecycle.wipe(platform.home, store)
    restore_backup(context, RestoreRequest(result.manifest.id, "RESTORE"))
    after = context.fingerprints()
    for name in STORES:
        assert before[name].differences(after[name]) == [], name
    assert after == before


def test_the_report_says_what_is_there_and_the_same_scale_again_changes_nothing(
    platform: Sandbox, tmp_path: Path
) -> None:
    wiped(platform)
    report, context = generated(platform, tmp_path), open_context(platform.settings)
    before = context.fingerprints()
    assert open_vectors(platform.settings).describe().counts == report.points
    assert open_graph(platform.settings).describe().counts == {
        "nodes": sum(report.nodes.values()),
        "relationships": sum(report.relationships.values()),
    }
    rows = open_relational(platform.settings, platform.runtime).describe().counts
    assert {name: count for name, count in rows.items() if count}.items() >= {
        name.replace('"', "").replace("Odd Events", 'Odd "Events"'): count for name, count in report.rows.items()
    }.items()
    again = generated(platform, tmp_path)
    assert context.fingerprints() == before
    assert again.written["points"] == again.written["nodes"] == again.written["relationships"] == 0
    assert again.nodes == report.nodes and again.refused["graph"] == report.refused["graph"]


class Dying(Bolt):
    """A connection that is lost before the relationships of a block, whose nodes are there by then."""

    left = 40

    def write(self, operation: str, statements: Sequence[tuple[str, list[dict[str, Any]]]]) -> list[list[Row]]:
        if operation == "create relationships":
            self.left -= 1
            if self.left == 0:
                raise StoreUnavailable("gone")
        return super().write(operation, statements)


def die_in_the_graph(platform: Sandbox, work: Work) -> None:
    with Dying(endpoint(platform.settings), work, open_driver) as bolt:
        GraphSeed(bolt, choose(bolt), 150, work).write()


def stop_in_the_vectors(platform: Sandbox, scratch: Path) -> None:
    cancel = threading.Event()

    def stop(news: Progress) -> None:
        if news.store == "vectors":
            cancel.set()

    work = Work(scratch, cancel=cancel, report=stop)
    seed_scale(platform.settings, platform.runtime, 700, work, dimension=16)


def test_whatever_was_interrupted_or_smaller_before_the_content_is_the_same(platform: Sandbox, tmp_path: Path) -> None:
    wiped(platform)
    context = open_context(platform.settings)
    generated(platform, tmp_path, 700, 16)
    at_once = context.fingerprints()
    wiped(platform)
    with pytest.raises(StoreUnavailable, match="gone"):
        die_in_the_graph(platform, Work(tmp_path))
    generated(platform, tmp_path, 150, 16)
    with pytest.raises(Cancelled):
        stop_in_the_vectors(platform, tmp_path)
    last = generated(platform, tmp_path, 700, 16)
    assert last.written["points"] > 0 and last.written["nodes"] == 0
    assert context.fingerprints() == at_once


@pytest.mark.parametrize(("scale", "dimension", "said"), [(100, 16, "larger scale"), (700, 32, "of 16 dimensions")])
def test_what_is_in_the_way_is_named_and_nothing_is_written(
    platform: Sandbox, tmp_path: Path, scale: int, dimension: int, said: str
) -> None:
    generated(platform, tmp_path, 700, 16)
    before = open_context(platform.settings).fingerprints()
    with pytest.raises(ConfigurationError, match=said):
        generated(platform, tmp_path, scale, dimension)
    assert open_context(platform.settings).fingerprints() == before


class Picky(Client):
    """An older server: no NUL in payloads, and no multivectors."""

    def upsert(self, collection: str, body: bytes, patience: float) -> None:
        if b"\\u0000" in body or collection == "scale_multivector":
            raise Refused("refused", status=400, said="never heard of it", where=self.address)
        super().upsert(collection, body, patience)


def test_what_a_server_refuses_is_told_and_everything_else_is_there(platform: Sandbox, tmp_path: Path) -> None:
    lifecycle.wipe(platform.home, "vectors")
    work = Work(tmp_path)
    with connected(platform.settings) as transport:
        picky = Picky(transport)
        seeding = VectorSeed(picky, 300, 8, work)
        seeding.check()
        counts, _ = seeding.write()
        payloads = {point["id"]: point["payload"] for point in picky.scroll(MAIN, 400, content=True)[0]}
    assert seeding.refusals.reasons == dict.fromkeys(("NUL", "points of scale_multivector"), "never heard of it")
    assert counts[MAIN] == len(payloads) == 300 and counts["scale_multivector"] == 0 and counts[NAMED] == 30
    assert "odd" not in payloads[point_id(5)] and payloads[point_id(6)]["odd"] == dict(TEXTS)["quotes and backslashes"]
