"""The relational store: PostgreSQL, in a service of the platform or reached by DSN (Supabase)."""

from archon_dagster.stores.relational.store import RelationalStore, open_relational

__all__ = ["RelationalStore", "open_relational"]
