"""Generated data of any size for every store: see :func:`archon_dagster.sandbox.seed.scale.seeding.seed_scale`."""

from archon_dagster.sandbox.seed.scale.seeding import DIMENSION, LARGEST, ScaleReport, seed_scale

__all__ = ["DIMENSION", "LARGEST", "ScaleReport", "seed_scale"]
