"""How old a backup may be follows the schedules that Dagster really ticks."""

from __future__ import annotations

from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from archon_dagster.cli.instance import open_instance, prepare
from archon_dagster.cli.metrics import schedules_on
from archon_dagster.platform.settings import load_settings


def switch(name: str, status: InstigatorStatus) -> None:
    """A schedule, as the UI switches it."""
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(), location_name="archon")
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "archon"), name)
    data = ScheduleInstigatorData("0 * * * *")
    with open_instance(load_settings()) as instance:
        instance.add_instigator_state(InstigatorState(origin, InstigatorType.SCHEDULE, status, data))


def test_what_is_on_by_default_and_what_was_switched() -> None:
    assert schedules_on() == {"daily_backup"}, "before Dagster was ever started"
    prepare(load_settings())
    assert schedules_on() == {"daily_backup"}
    switch("hourly_backup", InstigatorStatus.RUNNING)
    switch("daily_backup", InstigatorStatus.STOPPED)
    switch("weekly_maintenance", InstigatorStatus.RUNNING)
    assert schedules_on() == {"hourly_backup"}
