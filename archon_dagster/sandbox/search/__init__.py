"""The sandbox's ``archon-search``: run as ``python -m archon_dagster.sandbox.services archon-search --port N``."""
