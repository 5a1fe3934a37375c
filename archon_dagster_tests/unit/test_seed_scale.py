"""Generated data: the same every time, contained in a larger scale, and as peculiar as promised."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from archon_dagster.cli.sandbox import app
from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.settings import Settings
from archon_dagster.sandbox.seed.scale import seed_scale
from archon_dagster.sandbox.seed.scale.collections import MAIN, NAMED, collections
from archon_dagster.sandbox.seed.scale.counts import graph_counts
from archon_dagster.sandbox.seed.scale.graph import bare_below
from archon_dagster.sandbox.seed.scale.graph_oddities import oddities
from archon_dagster.sandbox.seed.scale.graph_records import TOPICS, WINDOW, is_bare, links, node
from archon_dagster.sandbox.seed.scale.mixing import mixed, point_id
from archon_dagster.sandbox.seed.scale.points import LENGTHS, ODDITIES, points
from archon_dagster.sandbox.seed.scale.table_rows import TABLES, lines
from archon_dagster.sandbox.seed.scale.vector_text import BLOCK, block
from archon_dagster.stores.base import Work

NOTHING: frozenset[str] = frozenset()


def made(collection: str, numbers: range, dimension: int = 64) -> list[dict[str, Any]]:
    size = LENGTHS.get(collection, dimension)
    return [json.loads(text) for text in points(collection, size, numbers, NOTHING)]


@pytest.mark.parametrize("collection", [item.name for item in collections(64)])
def test_a_point_does_not_depend_on_where_writing_began(collection: str) -> None:
    whole = made(collection, range(2 * BLOCK))
    assert made(collection, range(BLOCK + 7, BLOCK + 20)) == whole[BLOCK + 7 : BLOCK + 20]


def test_points_are_the_same_in_every_release() -> None:
    first = made(MAIN, range(1))[0]
    assert first["vector"][:4] == [0.053, 0.005, -0.2394, -0.0061] and mixed(1) == 0x5CC60547776902BA


def test_ids_are_unique_and_of_full_range() -> None:
    ids = [point_id(number) for number in range(20_000)]
    assert len(set(ids)) == len(ids)
    numbers = [one for one in ids if isinstance(one, int)]
    assert {0, 2**63, 2**64 - 1} <= set(numbers) and len(numbers) == pytest.approx(10_000, rel=0.01)
    assert sum(one >= 2**63 for one in numbers) == pytest.approx(5_000, rel=0.1)


def test_vectors_are_valid_json_of_the_right_length_and_differ() -> None:
    rows = [json.loads(b"[" + row + b"]") for row in block(1, 3, 1536)]
    assert {len(row) for row in rows} == {1536} and len({tuple(row) for row in rows}) == BLOCK
    assert all(abs(value) < 1 for row in rows for value in row)


def test_vectors_lie_in_clusters() -> None:
    """Evenly spread vectors of this length would all be at right angles."""
    rows = [json.loads(b"[" + row + b"]") for row in block(1, 0, 256)]
    angles = sorted(sum(a * b for a, b in zip(rows[0], row, strict=True)) / math.hypot(*rows[0]) / math.hypot(*row)
                    for row in rows[1:])  # fmt: skip
    assert angles[-1] > 0.5 and abs(angles[len(angles) // 2]) < 0.3


def test_every_peculiarity_comes_once_at_the_beginning_and_then_in_one_of_a_hundred() -> None:
    odd = [point["payload"] for point in made(MAIN, range(5_000), 4) if "odd" in (point["payload"] or {})]
    assert [payload["number"] for payload in odd[: len(ODDITIES)]] == list(range(len(ODDITIES)))
    assert len(odd) == len(ODDITIES) + 50 - 1  # number 7 is one of the first ones
    assert str(odd[12]["odd"]) == str(ODDITIES[12][1])


def test_a_refused_peculiarity_is_left_out_and_the_point_stays() -> None:
    texts = points(MAIN, 4, range(len(ODDITIES)), {"NUL"})
    payloads = [json.loads(text)["payload"] for text in texts]
    assert [place for place, found in enumerate(payloads) if "odd" not in found] == [5]
    assert ODDITIES[5][0] == "NUL"


def test_some_points_lack_vectors_and_payloads() -> None:
    found = made(NAMED, range(200))
    assert {frozenset(point["vector"]) for point in found} > {frozenset(("text", "code", "bytes", "size", "words"))}
    assert sum(point["payload"] is None for point in found) == 2
    assert len({len(point["vector"]["tokens"]) for point in made("scale_multivector", range(50))}) > 3


def test_relationships_lead_to_numbered_nodes_that_are_near_or_to_topics() -> None:
    for number in range(5_000):
        for link in () if is_bare(number) else links(number):
            other = link.end if link.start == number else link.start
            assert number in (link.start, link.end) and not is_bare(other)
            assert 0 <= other <= number and (other < TOPICS or other >= number - WINDOW - 1)


def test_the_graph_has_loops_parallels_twins_and_awkward_types() -> None:
    all_of_them = [link for number in range(1_000) if not is_bare(number) for link in links(number)]
    assert any(link.start == link.end for link in all_of_them)
    pairs = Counter((link.kind, link.start, link.end, str(link.properties)) for link in all_of_them)
    assert max(pairs.values()) == 2
    assert any("`" in link.kind for link in all_of_them)


def test_every_kind_of_node_is_among_the_first_three_hundred() -> None:
    odd = oddities()
    found = [node(number, odd) for number in range(300) if not is_bare(number)]
    assert {one.oddity.name for one in found if one.oddity} == {item.name for item in odd}
    assert {len(one.labels) for one in found} == {0, 1, 2, 3}
    assert any(one.properties.get("odd") == 1e15 or 1.0 in (one.properties.get("odd") or ()) for one in found
               if isinstance(one.properties.get("odd"), list))  # fmt: skip


@pytest.mark.parametrize("scale", [1, 97, 98, 1_000])
def test_the_counts_of_the_report_are_those_of_the_records(scale: int) -> None:
    nodes, relationships = graph_counts(scale, ())
    written = Counter(link.kind for n in range(scale) if not is_bare(n) for link in links(n))
    written["HAS"] += bare_below(scale)
    assert relationships == dict((+written).most_common())
    assert sum(nodes.values()) == scale + 1
    assert sum(is_bare(number) for number in range(scale)) == bare_below(scale)


def test_rows_of_a_larger_scale_begin_with_those_of_a_smaller() -> None:
    for table in TABLES:
        small, large = list(lines(table, 200)), list(lines(table, 400))
        assert small and large[: len(small)] == small and len(large) > len(small)
        assert all(line.count(b"\n") == 1 and line.count(b"\t") == table.columns.count(",") for line in large)


@pytest.mark.parametrize(("scale", "dimension"), [(0, 64), (-3, 64), (1_000_001, 64), (10, 0), (10, 65_537)])
def test_a_size_out_of_range_is_refused_before_anything_is_asked(tmp_path: Path, scale: int, dimension: int) -> None:
    settings = Settings(ARCHON_HOME=tmp_path, QDRANT_URL="http://127.0.0.1:1", ARCHON_RUNTIME="elsewhere")
    with pytest.raises(ConfigurationError, match="nothing was written"):
        seed_scale(settings, open_runtime(settings), scale, Work(tmp_path), dimension=dimension)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["src", "--scale", "10"], "not both"),
        (["--dimension", "64"], "goes with --scale"),
        (["--scale", "many"], "as an integer"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words: list[str], said: str) -> None:
    answer = CliRunner().invoke(app, ["seed", *words])
    assert answer.exit_code == 2 and said in " ".join(answer.output.split())
