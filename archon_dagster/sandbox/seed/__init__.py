"""Real sample data for every store of the sandbox: see :func:`archon_dagster.sandbox.seed.seeding.seed`."""

from archon_dagster.sandbox.seed.seeding import DEFAULT_FILES, DEFAULT_POINTS, SeedReport, seed

__all__ = ["DEFAULT_FILES", "DEFAULT_POINTS", "SeedReport", "seed"]
