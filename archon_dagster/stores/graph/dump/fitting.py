"""Would the live server keep what a dump says? Asked while a dump is imported, so that what it would not keep can be
left out and named by its line, instead of ending the restore as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from archon_dagster.platform.settings import Settings
from archon_dagster.stores.base import Work
from archon_dagster.stores.graph.connection import Bolt
from archon_dagster.stores.graph.dialect import choose
from archon_dagster.stores.graph.driver import Endpoint, OpenDriver, open_driver
from archon_dagster.stores.graph.dump.importing import Refuses
from archon_dagster.stores.graph.records import Node, Relationship


@contextmanager
def fitting(settings: Settings, work: Work, driver: OpenDriver = open_driver) -> Iterator[Refuses]:
    """What the live graph server refuses, and why.

    :param driver: makes the Bolt driver; the seam for doubles.
    """
    password = settings.memgraph_password.get_secret_value()
    endpoint = Endpoint(settings.memgraph_uri, settings.memgraph_user, password, settings.memgraph_database)
    with Bolt(endpoint, work, driver) as bolt:
        dialect = choose(bolt)

        def refuses(record: Node | Relationship) -> str | None:
            dialect.inquire(bolt, record.line)
            labels = record.labels if isinstance(record, Node) else []
            reason = dialect.refuses(labels, record.properties, record.line)
            return None if reason is None else f"{dialect} cannot keep {reason}"

        yield refuses
