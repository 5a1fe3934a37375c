"""Which backups are kept: restic's rules, and what no policy may let go."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from archon_dagster.repository.catalogue import Entry, Summary
from archon_dagster.repository.check_state import CheckState, State
from archon_dagster.repository.manifest import BackupKind
from archon_dagster.repository.retention import Plan, Policy, is_good, plan

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ALL = ("vectors", "graph", "relational", "configuration")


def entry(
    at: datetime,
    kind: BackupKind = "scheduled",
    stores: Sequence[str] = ALL,
    state: State = "passed",
    suffix: int = 0,
) -> Entry:
    summary = Summary(kind=kind, created=at, duration=1.0, stores=tuple(stores), artifacts=1, bytes_read=1,
                      bytes_added=1, consistent=True, not_covered=0, note="")  # fmt: skip
    return Entry(f"{at:%Y%m%dT%H%M%SZ}-{suffix:04x}", "complete", at, summary, checks=CheckState(state))


def daily(days: int, **more: object) -> list[Entry]:
    return [entry(NOON - timedelta(days=day), **more) for day in range(days)]  # type: ignore[arg-type]


def reasons(made: Plan) -> list[tuple[str, ...]]:
    return [decision.keeps for decision in made.decisions]


def test_each_rule_keeps_the_newest_of_so_many_periods_that_have_one() -> None:
    hours = [entry(NOON - timedelta(hours=hour)) for hour in (0, 1, 5, 9, 30, 60)]
    made = plan(hours, Policy(hourly=3, daily=2), NOON)
    assert [e.id for e in made.kept] == [hours[place].id for place in (0, 1, 2, 4)]
    assert reasons(made)[2] == ("hourly",)
    assert "daily" in reasons(made)[4]


def test_weeks_months_and_years_reach_back_as_far_as_asked() -> None:
    made = plan(daily(800), Policy(daily=7, weekly=4, monthly=6, yearly=3), NOON)
    beyond = [f"{e.created:%Y-%m-%d}" for e in made.kept[7:]]
    weeks, months = ["2026-11-15", "2026-11-08"], ["2026-10-31", "2026-09-30", "2026-08-31", "2026-07-31", "2026-06-30"]
    assert beyond == [*weeks, *months, "2025-12-31", "2024-12-31"]


def test_days_are_those_of_the_operators_zone() -> None:
    late = [entry(datetime(2026, 11, 23, hour, tzinfo=UTC)) for hour in (22, 23)]
    assert len(plan(late, Policy(daily=2), NOON).kept) == 1
    assert len(plan(late, Policy(daily=2, zone=ZoneInfo("Europe/Paris")), NOON).kept) == 2


def test_an_installation_at_rest_loses_nothing_however_long() -> None:
    made = plan(daily(5), Policy(daily=5), NOON + timedelta(days=4000))
    assert made.going == ()


def test_a_backup_of_one_store_never_takes_the_place_of_a_full_one() -> None:
    full = entry(NOON - timedelta(days=9))
    partial = [entry(NOON - timedelta(minutes=15 * n), stores=("relational",)) for n in range(40)]
    made = plan([full, *partial], Policy(last=4), NOON)
    assert full in made.kept
    assert len(made.kept) == 5


def test_a_damaged_one_fills_no_good_ones_place_and_is_kept_as_if_it_were_good() -> None:
    backups = [entry(NOON - timedelta(days=day), state="failed" if day < 3 else "passed") for day in range(9)]
    made = plan(backups, Policy(daily=3), NOON)
    assert [e.id for e in made.kept] == [b.id for b in backups[:6]]


def test_where_none_is_good_all_stay() -> None:
    assert plan(daily(9, state="failed"), Policy(last=1), NOON).going == ()


def test_a_clock_that_was_ahead_lets_nothing_go() -> None:
    backups = [entry(NOON + timedelta(days=200)), *daily(3)]
    made = plan(backups, Policy(last=1), NOON)
    assert "its time is ahead of the clock" in reasons(made)[0]
    assert made.kept[:2] == tuple(backups[:2])


def test_marks_needs_and_safety_backups() -> None:
    backups = daily(6)
    safety = [entry(NOON - timedelta(days=days, hours=1), kind="safety") for days in (2, 40, 80)]
    made = plan([*backups, *safety], Policy(last=1), NOON, marked=[backups[4].id], needed={backups[3].id: "a restore"})
    assert {e.id for e in made.kept} == {backups[0].id, backups[3].id, backups[4].id, safety[0].id}
    assert "marked to be kept" in dict(zip([d.entry.id for d in made.decisions], reasons(made)))[backups[4].id]  # noqa: B905


def test_the_oldest_goes_first() -> None:
    going = plan(daily(9), Policy(last=2), NOON).going
    assert [e.created for e in going] == sorted(e.created for e in going)


STATES: tuple[State, ...] = ("passed", "failed", "not_finished", "unreadable", "not_checked")
entries = st.lists(
    st.builds(
        entry,
        st.integers(-60, 900_000).map(lambda minutes: NOON - timedelta(minutes=minutes)),
        st.sampled_from(["scheduled", "manual", "safety", "imported"]),
        st.sets(st.sampled_from(ALL), min_size=1).map(sorted),
        st.sampled_from(STATES),
        st.integers(0, 0xFFFF),
    ),
    unique_by=lambda one: one.id,
    max_size=40,
)
few = st.integers(0, 4)
policies = st.builds(
    Policy, last=few, hourly=few, daily=few, weekly=few, monthly=few, yearly=few,
    within=st.integers(0, 40).map(lambda days: timedelta(days=days)), minimum=st.integers(1, 3),
)  # fmt: skip


@given(entries, policies)
def test_whatever_the_policy_the_last_good_one_of_every_store_stays(backups: list[Entry], policy: Policy) -> None:
    made = plan(backups, policy, NOON)
    going = {e.id for e in made.going}
    assert {d.entry.id for d in made.decisions} == {b.id for b in backups}
    usual = [b for b in backups if b.summary and b.summary.kind in ("scheduled", "manual")]
    for store in ALL:
        good = [b.id for b in usual if b.summary and store in b.summary.stores and is_good(b)]
        assert not good or max(good) not in going
    for stores in {b.summary.stores for b in usual if b.summary}:
        same = [b for b in usual if b.summary and b.summary.stores == stores and is_good(b)]
        assert len([b for b in same if b.id not in going]) >= min(policy.minimum, len(same))


@given(entries, policies)
def test_what_was_kept_is_kept_the_next_time(backups: list[Entry], policy: Policy) -> None:
    kept = plan(backups, policy, NOON).kept
    assert plan(kept, policy, NOON).going == ()


@given(entries, policies, st.data())
def test_no_policy_removes_what_is_marked_or_needed(backups: list[Entry], policy: Policy, data: st.DataObject) -> None:
    ids = [b.id for b in backups]
    marked = data.draw(st.sets(st.sampled_from(ids))) if ids else set()
    needed = data.draw(st.sets(st.sampled_from(ids))) if ids else set()
    made = plan(backups, policy, NOON, marked=marked, needed=dict.fromkeys(needed, "something"))
    assert not {e.id for e in made.going} & (marked | needed)
