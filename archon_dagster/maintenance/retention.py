"""Which backups may go, and letting them go.

Under the platform's lock: decide -> prove that what is kept last has every one of its chunks -> take the manifests
aside, oldest first -> make older removals final -> collect the chunks that nobody needs any more. A backup that was
taken aside can be put back for the grace period (``archon backups undelete``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from archon_dagster.backup.summary import size_text
from archon_dagster.context import OperationContext, telling
from archon_dagster.errors import ConfigurationError, DamagedBackup
from archon_dagster.platform.settings import Settings
from archon_dagster.recovery.book import Book
from archon_dagster.repository import collection, removal
from archon_dagster.repository.collection import Collected
from archon_dagster.repository.names import BACKUP_ID
from archon_dagster.repository.retention import Plan, Policy, plan

CONFIRMATION = "PRUNE"
RULES = ("last", "hourly", "daily", "weekly", "monthly", "yearly")


@dataclass(frozen=True)
class Planned:
    """What would be done. ``frees``: stored bytes that only the going backups hold."""

    plan: Plan
    frees: int = 0

    def rows(self) -> list[dict[str, str]]:
        """A row for every complete backup, newest first."""
        return [
            {
                "backup": decision.entry.id,
                "kind": decision.entry.summary.kind if decision.entry.summary else "",
                "stores": ", ".join(decision.entry.summary.stores) if decision.entry.summary else "",
                "decision": "goes" if decision.goes else "kept",
                "why": decision.why,
            }
            for decision in self.plan.decisions
        ]


@dataclass(frozen=True)
class Pruned:
    """What was done.

    :param removed: taken aside now. :param final: removed earlier, and gone for good now.
    """

    planned: Planned
    removed: tuple[str, ...] = ()
    final: tuple[str, ...] = ()
    collected: Collected = field(default_factory=Collected)

    @property
    def headline(self) -> str:
        """The whole in a sentence."""
        freed = f"{self.collected.chunks:,} chunks removed, {size_text(self.collected.size)} free"
        left = f", {self.collected.left:,} unneeded ones wait" if self.collected.left else ""
        kept = len(self.planned.plan.decisions) - len(self.removed)
        return f"{len(self.removed)} backups removed, {kept} kept; {len(self.final)} removals final; {freed}{left}"


def policy_of(settings: Settings, keep: Mapping[str, int] | None = None) -> Policy:
    """The policy of the settings; ``keep`` says another number for some of :data:`RULES`.

    :raises ConfigurationError: ``keep`` names no rule, or a number below nothing.
    """
    if wrong := [f"{rule}: {count}" for rule, count in (keep or {}).items() if rule not in RULES or count < 0]:
        raise ConfigurationError(
            f"no such rule, or less than 0: {', '.join(wrong)}; nothing was touched",
            todo=f"say how many of: {', '.join(RULES)}; anything else is a setting (docs/retention.md)",
        )
    counts = {rule: getattr(settings, f"retention_{rule}") for rule in RULES} | dict(keep or {})
    return Policy(
        **counts,
        within=timedelta(days=settings.retention_within),
        minimum=settings.retention_minimum,
        safety=timedelta(days=settings.retention_safety),
        zone=ZoneInfo(settings.timezone),
    )


def decide(context: OperationContext, policy: Policy) -> Planned:
    """What would go, and what that frees; changes nothing."""
    repository = context.repository
    entries = repository.backups(checks=True)
    collection.require_known(repository.describe(), entries)
    backend = repository.backend
    made = plan(entries, policy, backend.now(), marked=removal.marks(backend), needed=needed(context.settings.home))
    going = [entry.id for entry in made.going]
    with context.work() as work:
        frees = collection.held_only_by(backend, going, [entry.id for entry in made.kept], work)
    return Planned(made, frees)


def prune(context: OperationContext, policy: Policy) -> Pruned:
    """Do it; see the module.

    :raises RepositoryBusy: a backup or a restore is at work.
    :raises DamagedBackup: a backup that would be relied on lacks chunks; nothing was removed.
    """
    repository, settings = context.repository, context.settings
    backend, grace = repository.backend, timedelta(hours=settings.retention_grace)
    with repository.lock("retention", check=context.check) as lease:
        with telling(context.report, "decide", "which backups may go"):
            planned = decide(context, policy)
            _require_whole(context, planned.plan)
        removed: list[str] = []
        with telling(context.report, "remove", f"{len(planned.plan.going)} backups"):
            for entry in planned.plan.going:
                context.check()
                lease.renew(context.check)
                if not removal.is_marked(backend, entry.id):  # a mark may have been set this moment
                    removal.remove(backend, entry.id)
                    removed.append(entry.id)
            final = removal.forget_expired(backend, grace)
        with telling(context.report, "collect", "chunks that nobody needs"), context.work() as work:
            entries = repository.backups()
            collected = collection.collect(backend, entries, lease, work, grace=grace, limit=settings.retention_limit)
    return Pruned(planned, tuple(removed), tuple(final), collected)


def put_back(context: OperationContext, backup_id: str) -> None:
    """Undo the removal of a backup; :class:`BackupNotFound` where it is final."""
    with context.repository.lock("undelete", check=context.check):
        removal.put_back(context.repository.backend, backup_id)


def needed(home: Path) -> dict[str, str]:
    """Backups that something of this control plane needs, and what: restores, and incidents that are not over.

    Ids are looked for in the files' bytes, so that a file which cannot be understood protects as well.
    """
    over = {incident.id for incident in Book(home).all() if not incident.is_open}
    files = dict.fromkeys(home.glob("restore*.json"), "a restore used it, or can be undone with it")
    files |= dict.fromkeys(home.glob("targets/*/restore*.json"), "a restore used it, or can be undone with it")
    files |= {
        file: f"incident {file.parent.name} names it"
        for file in home.glob("incidents/*/incident.json*")
        if file.parent.name not in over
    }
    found: dict[str, str] = {}
    for file, why in sorted(files.items()):
        try:
            text = file.read_text(errors="replace")
        except FileNotFoundError:
            continue  # ended a moment ago
        for backup_id in re.findall(BACKUP_ID.pattern, text):
            found.setdefault(backup_id, why)
    return found


def _require_whole(context: OperationContext, made: Plan) -> None:
    relied_on = [entry.id for entry in made.last_good]
    if not relied_on or not made.going:
        return
    with context.work() as work:
        absent = collection.absent_chunks(context.repository.backend, relied_on, work)
    if absent:
        first, count = next(iter(absent.items()))
        raise DamagedBackup(
            f"nothing was removed: backup {first}, which would be relied on, lacks {count:,} chunks",
            where=context.repository.describe(),
            todo=f"archon verify {first}, then take a new backup and look what else deletes files there",
        )
