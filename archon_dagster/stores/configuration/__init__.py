"""The configuration store: the files that say how the platform is put together."""

from archon_dagster.stores.configuration.store import ConfigurationStore

__all__ = ["ConfigurationStore"]
