"""What an operator reads about backups, at the width of an old terminal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from archon_dagster.cli import output
from archon_dagster.cli.listing import day_text, list_backups, show_backup, show_verification
from archon_dagster.repository.catalogue import Entry, Summary
from archon_dagster.repository.check_state import CheckState
from archon_dagster.repository.manifest import Artifact, BackupKind, Chunk, Fingerprint, Manifest, Part, Window
from archon_dagster.repository.verification import CheckRecord, Damage, Verification
from archon_dagster.stores.base import STORES, Verdict

PARIS = ZoneInfo("Europe/Paris")
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC).astimezone(PARIS)
TAKEN = datetime(2026, 11, 24, 3, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output.console, "width", 80)


def entry(
    number: int,
    *,
    kind: BackupKind = "scheduled",
    checks: CheckState | None = None,
    note: str = "",
    stores: tuple[str, ...] = STORES,
    size: int = 999_900_000,
) -> Entry:
    created = TAKEN - timedelta(days=number)
    summary = Summary(kind=kind, created=created, duration=3, stores=stores, artifacts=4, bytes_read=size,
                      bytes_added=size, consistent=True, not_covered=0, note=note)  # fmt: skip
    return Entry(f"{created:%Y%m%dT%H%M%SZ}-{number:04x}", "complete", created, summary, checks=checks)


def listed(*entries: Entry, safety: bool = False) -> str:
    with output.console.capture() as captured:
        list_backups(entries, "/backups", NOW, safety=safety)
    return captured.get()


def row(text: str, backup: Entry) -> list[str]:
    """The line of a backup, and what stands below it."""
    lines = text.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith(backup.id))
    end = next((n for n in range(place + 1, len(lines)) if not lines[n].startswith("  ")), len(lines))
    return [lines[place], " ".join(" ".join(lines[place + 1 : end]).split())]


def test_a_line_says_when_what_how_large_and_whether_it_is_good() -> None:
    good = entry(0, checks=CheckState("passed"), note="before the upgrade")
    first, below = row(listed(good), good)
    assert first.split("  ") == [good.id, "today 04:00", "scheduled", "999.9 MB", "999.9 MB", "passed"]
    assert below == "all stores; note: before the upgrade"


@pytest.mark.parametrize(
    ("checks", "word", "reason"),
    [
        (CheckState("failed", ("digests", "readable")), "failed", "failed check digests, readable"),
        (CheckState("not_finished"), "not done", "its checks were not finished"),
        (CheckState("unreadable", (), ("verifications/a/b.json",)), "unknown", "verifications/a/b.json cannot be read"),
    ],
)
def test_what_speaks_against_a_backup_is_said_in_words(checks: CheckState, word: str, reason: str) -> None:
    bad = entry(0, checks=checks)
    first, below = row(listed(bad), bad)
    assert first.endswith(f"  {word}")
    assert reason in below


def test_no_line_is_wider_than_the_terminal_and_no_row_wraps() -> None:
    entries = [
        entry(1, checks=CheckState("not_finished"), note="a note that is long " * 20),
        Entry("20261123T030000Z-0000", "incomplete", TAKEN, detail="begun by process 1 on " + "a-long-host-name" * 8),
        entry(400, checks=CheckState("failed", ("counts_match_live",)), stores=("vectors", "graph")),
    ]
    lines = listed(*entries).splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert len([line for line in lines if not line.startswith("  ")]) == len(entries) + 2


def test_safety_backups_are_counted_and_shown_when_asked_for() -> None:
    entries = [entry(0, checks=CheckState("passed")), *(entry(n, kind="safety") for n in (1, 2))]
    hidden = listed(*entries)
    assert entries[1].id not in hidden
    assert hidden.startswith("1 backup in /backups; times are CET")
    assert hidden.splitlines()[-1] == "2 safety backups are not shown: archon backups --safety"
    shown = listed(*entries, safety=True)
    assert all(one.id in shown for one in entries)
    assert "not shown" not in shown


def test_leftovers_and_lost_backups_are_listed_with_what_is_wrong() -> None:
    lost = Entry("20261123T030000Z-0000", "missing", TAKEN, detail="its manifest is missing")
    first, below = row(listed(lost), lost)
    assert "missing" in first
    assert below == "its manifest is missing"


def test_a_note_can_neither_colour_nor_break_the_list() -> None:
    evil = entry(0, checks=CheckState("passed"), note="[red]x[/nonsense]\n\x1b[2J\x07 end")
    first, below = row(listed(evil), evil)
    assert first.startswith(evil.id)
    assert below == "all stores; note: [red]x[/nonsense] [2J end"


@pytest.mark.parametrize(
    ("then", "text"),
    [
        (datetime(2026, 11, 24, 3, tzinfo=UTC), "today 04:00"),
        (datetime(2026, 11, 23, 23, 30, tzinfo=UTC), "today 00:30"),
        (datetime(2026, 11, 23, 3, tzinfo=UTC), "yesterday 04:00"),
        (datetime(2026, 7, 2, 3, tzinfo=UTC), "2 Jul 05:00"),
        (datetime(2025, 11, 24, 3, tzinfo=UTC), "24 Nov 2025"),
        (datetime(2026, 11, 25, 3, tzinfo=UTC), "25 Nov 04:00"),
    ],
)
def test_times_are_local_and_in_words(then: datetime, text: str) -> None:
    assert day_text(then, NOW) == text


def manifest(*, consistent: bool = True, note: str = "") -> Manifest:
    chunks = tuple(Chunk(sha256=f"{number:064x}", size=10) for number in range(3))
    artifacts = tuple(
        Artifact(
            store=store,
            name=f"{store}/one",
            kind="k",
            media_type="x/y",
            size=30,
            sha256="0" * 64,
            chunks=chunks,
            counts={f"public.table_{number}": 1000 * number for number in range(9)},
            fingerprint=Fingerprint(parts={"a": Part(count=1, digest="1" * 64)}),
            capture_start=TAKEN,
            capture_end=TAKEN,
        )
        for store in STORES
    )
    window = Window(start=TAKEN, end=TAKEN + timedelta(seconds=2), paused=("archon-search",) if consistent else (),
                    consistent=consistent, note="" if consistent else "nobody held them still")  # fmt: skip
    return Manifest(id="20261124T030000Z-7f3a", kind="manual", created=TAKEN, duration=3, stores=STORES,
                    artifacts=artifacts, window=window, versions={}, tool_version="x", host="backup-host",
                    parent="20261123T030000Z-0001", bytes_read=12_300_000, bytes_added=1_230_000, chunks_added=3,
                    not_covered=("graph: users",), note=note)  # fmt: skip


def shown(backup: Manifest, *records: CheckRecord) -> str:
    with output.console.capture() as captured:
        show_backup(backup, records, NOW)
    return captured.get()


def test_one_backup_says_all_there_is_to_know() -> None:
    text = shown(manifest(note="before the\nupgrade"), CheckRecord(name="digests", passed=True, detail="9", time=TAKEN))
    for words in (
        "Tue 24 Nov 2026, 04:00:00 CET (9 h 0 min ago) on backup-host",
        "manual",
        "before the upgrade",
        "one instant: archon-search held still for 2.00 s",
        "12.3 MB captured in 3.00 s, 1.2 MB of it new (90% saved)",
        "20261123T030000Z-0001",
        "every check passed",
        "passed  digests: 9",
        "not covered  graph: users",
    ):
        assert words in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert text.count(manifest().artifacts[0].fingerprint.digest[:12]) == 4  # type: ignore[union-attr]


def test_a_bad_backup_says_so_in_its_facts() -> None:
    text = shown(manifest(consistent=False), CheckRecord(name="digests", passed=False, detail="gone", time=TAKEN))
    assert "failed check digests: `latest` does not choose it" in text
    assert "failed  digests: gone" in text
    joined = " ".join(text.split())
    assert "not one instant, the stores were captured within 2.00 s: nobody held them still" in joined


def test_a_verification_shows_what_is_damaged_and_what_is_not() -> None:
    backup = manifest()
    damage = tuple(Damage("vectors/one", f"{number:064x}", "is missing") for number in range(30))
    verdicts = [Verdict("graph/one", "verified", "3 nodes"), Verdict("relational/one", "damaged", "truncated")]
    with output.console.capture() as captured:
        show_verification(backup, Verification(backup.id, damage, 4, 12, 120), verdicts)
    lines = [" ".join(line.split()) for line in captured.get().splitlines()]
    assert "vectors/one damaged 30 of 3 chunks; see below" in lines
    assert "graph/one verified 3 nodes" in lines
    assert "relational/one damaged truncated" in lines
    assert "configuration/one as written its digests are right; its engine was not asked" in lines
    assert lines.count("damaged and 10 more places") == 1
    assert "damaged artifact vectors/one: chunk 000000000000 is missing" in lines
