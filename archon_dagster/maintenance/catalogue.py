"""The steps of the maintenance, in order, as data."""

from __future__ import annotations

from archon_dagster.maintenance import database, disk, graph, images, logs, others, packages, vectors
from archon_dagster.maintenance.step import MaintenanceStep

STEPS: tuple[MaintenanceStep, ...] = (
    MaintenanceStep("backup", "back up every store, and verify the backup", others.back_up, protects=True),
    MaintenanceStep("optimise", "wake Qdrant's optimizers and wait for them", vectors.optimise, harms=True),
    MaintenanceStep("vacuum", "VACUUM (ANALYZE) PostgreSQL's database", database.vacuum, harms=True),
    MaintenanceStep("memory", "let Memgraph give memory back", graph.free_memory, harms=True),
    MaintenanceStep("images", "remove old images of this compose project; never a volume", images.prune, harms=True),
    MaintenanceStep("logs", "set long logs aside, compressed, without losing a line", logs.rotate, harms=True),
    MaintenanceStep("disk", "how full the disks are, and when they will be", disk.report, protects=True),
    MaintenanceStep("baseline", "measure how fast everything is; renew the baseline unless it is worse",
                    others.renew_baseline),
    MaintenanceStep("housekeeping", "remove old runs and their events from Dagster", others.tidy_dagster, harms=True),
    MaintenanceStep(
        "packages", "list upgradable packages of this host; install only when confirmed", packages.update,
        harms=True, default=False,
    ),
)  # fmt: skip
