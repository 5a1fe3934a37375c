"""See :mod:`archon_dagster.asking`."""

from archon_dagster.asking import ask_all

__all__ = ["ask_all"]
