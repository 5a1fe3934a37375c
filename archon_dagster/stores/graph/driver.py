"""Where the graph is, the driver that leads there, and the one question that tells a frozen server from a busy one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from archon_dagster.errors import ConfigurationError
from archon_dagster.stores.patience import Life

SCHEMES = ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc")
CONNECT_TIMEOUT = 10.0  # seconds
IDLE = 300.0  # seconds a connection may lie idle unquestioned; Memgraph closes them after half an hour


@dataclass(frozen=True)
class Endpoint:
    """Where the graph is and how to log in; no credential ever shows."""

    uri: str = field(repr=False)
    user: str = ""
    password: str = field(default="", repr=False)
    database: str | None = None

    @property
    def address(self) -> str:
        """The URI without anything that could be a credential."""
        parts = urlsplit(self.uri)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


OpenDriver = Callable[[Endpoint, float], Any]


def open_driver(endpoint: Endpoint, limit: float) -> Any:
    """A driver for the endpoint; nothing is contacted yet.

    :param limit: seconds; connecting, greeting and logging in take no longer.
    """
    import neo4j
    from neo4j.exceptions import ConfigurationError as DriverConfigurationError

    if urlsplit(endpoint.uri).scheme not in SCHEMES:
        raise ConfigurationError(
            f"{endpoint.address!r} is not a Bolt address", where="MEMGRAPH_URI", todo="use bolt://host:7687"
        )
    try:
        return neo4j.GraphDatabase.driver(
            endpoint.uri,
            auth=(endpoint.user, endpoint.password) if endpoint.user or endpoint.password else None,
            connection_timeout=min(CONNECT_TIMEOUT, limit),
            connection_acquisition_timeout=min(CONNECT_TIMEOUT, limit),
            liveness_check_timeout=IDLE,
            notifications_min_severity="OFF",
            telemetry_disabled=True,
            user_agent="archon",
        )
    except (DriverConfigurationError, ValueError) as error:
        raise ConfigurationError(f"the driver refuses {endpoint.address!r}: {error}", where="MEMGRAPH_URI") from error


def ask(endpoint: Endpoint, open_driver: OpenDriver, limit: float) -> Life:
    """Whether the server greets another connection: any answer will do, also that nobody is let in."""
    from neo4j.exceptions import DriverError, Neo4jError

    driver = open_driver(endpoint, limit)
    try:
        driver.get_server_info()
    except Neo4jError:
        return "answers"
    except (DriverError, OSError):
        return "silent"
    finally:
        driver.close()
    return "answers"
