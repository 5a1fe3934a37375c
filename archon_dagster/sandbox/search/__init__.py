"""The sandbox's ``archon-search``: run as ``python -m archon_dagster.sandbox.search --port N``."""
