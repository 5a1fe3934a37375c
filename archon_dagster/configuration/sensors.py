"""The sensor that notices a changed configuration and backs it up.

It reads files and asks nobody. A change is seen within half a minute, whoever made it: one that ``archon config`` did
not make is put into the history, with what changed; and every one launches one backup of the configuration alone,
again until one has succeeded: somebody may hold the lock. So its recovery point is minutes old, not a night.
"""

import json
import time
from collections.abc import Mapping
from typing import Any

import dagster as dg

from archon_dagster.configuration.assets import materialization
from archon_dagster.configuration.history import History
from archon_dagster.configuration.journal import JournalFile
from archon_dagster.configuration.watching import contents, note_by_hand, signature
from archon_dagster.errors import ArchonError
from archon_dagster.platform.settings import Settings
from archon_dagster.resources import Operations
from archon_dagster.schedules import BUSY

AT_WORK = 900.0  # seconds after its last step that a change without an end counts as still at work
AGAIN, SELDOM = 300.0, 1800.0  # seconds until a backup that failed is tried again: longer each time, but not longer
BACKUP = "backup"
_CHANGE = "archon/configuration"
"""The tag of a backup's run that says which change it is for."""

_CONFIG = {"stores": ["configuration"], "kind": "scheduled", "pause_writers": False, "portable": False}


@dg.sensor(
    name="configuration_changed_by_hand",
    job_name=BACKUP,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Notices that the platform's .env, compose files or config/ have changed, notes who changed the .env, "
    "and backs the configuration up after each change.",
)
def configuration_changed_by_hand(
    context: dg.SensorEvaluationContext, operations: Operations
) -> dg.SensorResult | dg.SkipReason:
    """One look; see the module."""
    try:
        settings = operations.usable_settings()  # also one that nothing else works by is noted and saved
        if not settings.project_dir.is_dir():
            return dg.SkipReason(f"there is no platform in {settings.project_dir}")
        if _at_work(settings):
            return dg.SkipReason("a change of the configuration is at work")
        return _look(context, settings)
    except ArchonError as error:  # a file that cannot be read; it is said again until somebody mends it
        return dg.SkipReason(str(error))


def _look(context: dg.SensorEvaluationContext, settings: Settings) -> dg.SensorResult | dg.SkipReason:
    before: dict[str, Any] = json.loads(context.cursor) if context.cursor else {}
    stamp, found, by_hand = signature(settings.project_dir), str(before.get("contents", "")), None
    if before.get("signature") != stamp:
        found, by_hand = contents(settings.project_dir), note_by_hand(settings)
    changed = bool(before) and before.get("contents") != found
    shown, events = _unshown(settings, before)
    owed: dict[str, Any] | None = before.get("owed")
    if changed:
        note = f"changed by hand: {', '.join(by_hand.changed)}" if by_hand else "the configuration has changed"
        owed = {"key": f"configuration-{found[:16]}-{stamp[:16]}", "note": note[:500], "tries": 0, "asked": 0.0}
    run, owed = _backup(context.instance, owed, time.time()) if owed else (None, None)
    context.update_cursor(json.dumps({"signature": stamp, "contents": found, "shown": shown, "owed": owed}))
    if run is None and not events:
        return dg.SkipReason(_why(before, stamp, owed))
    return dg.SensorResult(run_requests=[run] if run else [], asset_events=events, cursor=context.cursor)


def _backup(
    instance: dg.DagsterInstance, owed: dict[str, Any], now: float
) -> tuple[dg.RunRequest | None, dict[str, Any] | None]:
    """The run to launch now, and what is owed then: a change is owed its backup until one has succeeded."""
    runs = instance.get_runs(dg.RunsFilter(job_name=BACKUP, tags={_CHANGE: owed["key"]}))
    states = {run.status for run in runs}
    if dg.DagsterRunStatus.SUCCESS in states:
        return None, None
    if states.intersection(BUSY) or now - owed["asked"] < min(AGAIN * owed["tries"], SELDOM):
        return None, owed
    run = dg.RunRequest(
        run_key=f"{owed['key']}-{owed['tries']}",
        run_config={"ops": {"take_backup": {"config": {**_CONFIG, "note": owed["note"]}}}},
        tags={_CHANGE: owed["key"]},
    )
    return run, {**owed, "tries": owed["tries"] + 1, "asked": now}


def _why(before: Mapping[str, Any], stamp: str, owed: Mapping[str, Any] | None) -> str:
    """Why nothing is to be done."""
    if not before:
        return "the configuration is remembered as it is"
    if owed:
        return "its backup has not succeeded yet; it is tried again"
    return "nothing has changed" if before.get("signature") == stamp else "written again, and nothing has changed"


def _unshown(settings: Settings, before: Mapping[str, Any]) -> tuple[str, list[dg.AssetMaterialization]]:
    """The changes that no run has shown in the UI, and the newest one there is."""
    records, last = History(settings.home).all(), str(before.get("shown", ""))
    newest = records[0].id if records else last
    new = [one for one in reversed(records) if before and one.id > last and one.origin != "dagster"]
    return newest, [materialization(one) for one in new]


def _at_work(settings: Settings) -> bool:
    try:
        return time.time() - JournalFile(settings.home).path.stat().st_mtime < AT_WORK
    except FileNotFoundError:
        return False
