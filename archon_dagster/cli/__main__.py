"""``python -m archon_dagster.cli``: the same as ``archon``."""

from archon_dagster.cli.main import run

if __name__ == "__main__":
    run()
