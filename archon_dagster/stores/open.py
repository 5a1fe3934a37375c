"""The four stores of the platform the settings describe."""

from __future__ import annotations

from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.settings import Settings
from archon_dagster.stores.base import Store, StoreName


def open_stores(settings: Settings, runtime: Runtime) -> dict[StoreName, Store]:
    """Every store by name, in the order they are restored; nothing is contacted yet."""
    from archon_dagster.stores.configuration import ConfigurationStore
    from archon_dagster.stores.graph.store import open_graph
    from archon_dagster.stores.relational import open_relational
    from archon_dagster.stores.vectors.store import open_vectors

    return {
        "vectors": open_vectors(settings),
        "graph": open_graph(settings),
        "relational": open_relational(settings, runtime),
        "configuration": ConfigurationStore(settings.project_dir),
    }
