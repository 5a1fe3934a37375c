"""When restores are tried, and when what a killed drill has left is looked for. A tick is skipped while one is at work.

The drill is off until it is switched on in the UI: it takes memory and disk for a second copy of the data.
"""

import dagster as dg

from archon_dagster.platform.settings import load_settings
from archon_dagster.platform.usable_settings import settings_while_loading
from archon_dagster.restore_drill.bench import is_free, left
from archon_dagster.restore_drill.jobs import remove_drill_leftovers_job, restore_drill_job
from archon_dagster.schedules import one_tick


@dg.schedule(
    name="restore_drill",
    job=restore_drill_job,
    cron_schedule=settings_while_loading().drill_cron,
    execution_timezone=settings_while_loading().timezone,
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Saturdays at 06:00 (ARCHON_DRILL_CRON, ARCHON_TIMEZONE). Off until switched on.",
)
def restore_drill(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """One tick."""
    return one_tick(context, restore_drill_job.name)


@dg.schedule(
    name="remove_drill_leftovers",
    job=remove_drill_leftovers_job,
    cron_schedule="41 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every hour, if a drill was killed; the servers of one are found by their labels.",
)
def remove_drill_leftovers(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """One tick: a look at the home, and a run only where there is something."""
    home = load_settings().home
    if not left(home):
        return dg.SkipReason("no drill was killed")
    if not is_free(home):
        return dg.SkipReason("a drill is at work")
    return one_tick(context, remove_drill_leftovers_job.name)
