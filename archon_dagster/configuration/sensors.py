"""The sensor that notices a changed configuration and backs it up.

It reads files and asks nobody. A change is seen within half a minute, whoever made it: one that ``archon config`` did
not make is put into the history, with what changed; and every one launches one backup of the configuration alone. So
its recovery point is minutes old, not a night.
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

AT_WORK = 900.0  # seconds after its last step that a change without an end counts as still at work
_BACKUP = {"stores": ["configuration"], "kind": "scheduled", "pause_writers": False, "portable": False}


@dg.sensor(
    name="configuration_changed_by_hand",
    job_name="backup",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Notices that the platform's .env, compose files or config/ have changed, notes who changed the .env, "
    "and backs the configuration up, once for each change.",
)
def configuration_changed_by_hand(
    context: dg.SensorEvaluationContext, operations: Operations
) -> dg.SensorResult | dg.SkipReason:
    """One look; see the module."""
    settings = operations.settings()
    if not settings.project_dir.is_dir():
        return dg.SkipReason(f"there is no platform in {settings.project_dir}")
    if _at_work(settings):
        return dg.SkipReason("a change of the configuration is at work")
    try:
        return _look(context, settings)
    except ArchonError as error:  # a file that cannot be read; it is said again until somebody mends it
        return dg.SkipReason(str(error))


def _look(context: dg.SensorEvaluationContext, settings: Settings) -> dg.SensorResult | dg.SkipReason:
    before: dict[str, Any] = json.loads(context.cursor) if context.cursor else {}
    stamp = signature(settings.project_dir)
    if before.get("signature") == stamp:
        return dg.SkipReason("nothing has changed")
    found, by_hand = contents(settings.project_dir), note_by_hand(settings)
    shown, events = _unshown(settings, before)
    context.update_cursor(json.dumps({"signature": stamp, "contents": found, "shown": shown}))
    if not before:
        return dg.SkipReason("the configuration is remembered as it is")
    if before.get("contents") == found:
        return dg.SkipReason("written again, and nothing has changed")
    note = f"changed by hand: {', '.join(by_hand.changed)}" if by_hand else "the configuration has changed"
    run = dg.RunRequest(
        run_key=f"configuration-{found[:16]}-{stamp[:16]}",
        run_config={"ops": {"take_backup": {"config": {**_BACKUP, "note": note[:500]}}}},
    )
    return dg.SensorResult(run_requests=[run], asset_events=events, cursor=context.cursor)


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
