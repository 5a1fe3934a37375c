"""`archon backups prune`, `keep` and `undelete`."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from typing import Annotated

import typer

from archon_dagster.backup.summary import size_text
from archon_dagster.cli.backups import Direct, Json, Selector, repository_of
from archon_dagster.cli.listing import stores_text
from archon_dagster.cli.operations import run_here
from archon_dagster.cli.output import console, plain, print_json, table
from archon_dagster.cli.submit import submit
from archon_dagster.errors import BackupNotFound, ConfirmationMissing
from archon_dagster.maintenance import retention
from archon_dagster.maintenance.retention import CONFIRMATION, Planned, Pruned
from archon_dagster.platform.settings import load_settings
from archon_dagster.repository import removal

Count = Annotated[int | None, typer.Option(min=0, help="Instead of the setting's number.")]


def prune(
    confirm: Annotated[str, typer.Option(help=f"Type {CONFIRMATION} to remove; else it is only told.")] = "",
    keep_last: Count = None,
    keep_hourly: Count = None,
    keep_daily: Count = None,
    keep_weekly: Count = None,
    keep_monthly: Count = None,
    keep_yearly: Count = None,
    direct: Direct = False,
    as_json: Json = False,
) -> None:
    """Which backups may go by the retention policy, and why; removes them only with --confirm."""
    if confirm not in ("", CONFIRMATION):
        raise ConfirmationMissing("removing backups was not confirmed; nothing was touched",
                                  todo=f"type --confirm {CONFIRMATION}, or leave it out to be told")  # fmt: skip
    settings = load_settings()
    numbers = (keep_last, keep_hourly, keep_daily, keep_weekly, keep_monthly, keep_yearly)
    keep = {rule: count for rule, count in zip(retention.RULES, numbers, strict=True) if count is not None}
    repository_of(settings)
    policy = retention.policy_of(settings, keep)
    if not confirm:
        _show_plan(run_here(settings, lambda here: retention.decide(here, policy), quiet=True, live=False), as_json)
    elif direct:
        _show(run_here(settings, lambda here: retention.prune(here, policy), quiet=as_json, live=False), as_json)
    else:
        config = {"ops": {"prune": {"config": {"confirm": confirm, "keep": keep}}}}
        submit(settings, "retention", config, as_json=as_json)
        if not as_json:
            _say_way_back()


def keep(
    selector: Selector,
    note: Annotated[str, typer.Option(help="Why; shown by `archon backups prune`.")] = "",
    off: Annotated[bool, typer.Option("--off", help="Take the mark away.")] = False,
    as_json: Json = False,
) -> None:
    """Mark a backup: it is never removed by retention until the mark is taken away."""
    settings = load_settings()
    repository = repository_of(settings)
    backup_id = repository.resolve(selector).id
    if off:
        there = removal.unmark(repository.backend, backup_id)
        said = f"backup {backup_id} {'is not marked any more' if there else 'had no mark'}"
    else:
        mark = removal.Keep(since=datetime.now(UTC), by=getpass.getuser(), note=note)
        removal.mark(repository.backend, backup_id, mark)
        said = f"backup {backup_id} is kept until: archon backups keep {backup_id} --off"
    print_json({"backup": backup_id, "kept": not off}) if as_json else console.print(said, highlight=False)


def undelete(
    backup: Annotated[str, typer.Argument(help="The backup's id; without it: which can be put back.")] = "",
    as_json: Json = False,
) -> None:
    """Put a removed backup back, within the grace period."""
    settings = load_settings()
    if backup:
        run_here(settings, lambda here: retention.put_back(here, backup), quiet=True, live=False)
        said = f"backup {backup} is there again; look whether it is whole: archon verify {backup}"
        print_json({"backup": backup}) if as_json else console.print(said, highlight=False, soft_wrap=True)
        return
    there = run_here(settings, lambda here: removal.removed(here.repository.backend), quiet=True, live=False)
    rows = [(key, f"{info.modified:%Y-%m-%d %H:%M} UTC") for key, info in sorted(there.items())]
    if as_json:
        print_json([{"backup": key, "removed": info.modified} for key, info in sorted(there.items())])
    elif rows:
        console.print(table("removed, and can be put back", ("backup", "removed"), rows, keep=("backup",)))
    else:
        raise BackupNotFound("no removed backup can be put back", where=settings.repository,
                             todo="after the grace period a removal is final")  # fmt: skip


def _show_plan(planned: Planned, as_json: bool) -> None:
    made = planned.plan
    if as_json:
        print_json({"backups": planned.rows(), "goes": [entry.id for entry in made.going], "frees": planned.frees})
        return
    rows = [
        (
            row["backup"],
            row["kind"],
            stores_text(row["stores"].split(", ")),
            f"[red]{row['decision']}[/]" if row["decision"] == "goes" else row["decision"],
            plain(row["why"]),
        )
        for row in planned.rows()
    ]
    columns = ("backup", "kind", "stores", "", "why")
    console.print(table("by the retention policy", columns, rows, keep=("backup", "kind", "")))
    if not made.going:
        console.print("nothing would go", highlight=False)
        return
    console.print(
        f"{len(made.going)} would go, {len(made.kept)} stay; {size_text(planned.frees)} would be free after the grace "
        f"period. Nothing was touched: archon backups prune --confirm {CONFIRMATION}",
        highlight=False,
        soft_wrap=True,
    )


def _show(pruned: Pruned, as_json: bool) -> None:
    if as_json:
        print_json({"removed": pruned.removed, "final": pruned.final, "collected": pruned.collected})
        return
    console.print(pruned.headline, highlight=False, soft_wrap=True)
    if pruned.removed:
        _say_way_back()


def _say_way_back() -> None:
    console.print("to put one back: archon backups undelete", highlight=False)
