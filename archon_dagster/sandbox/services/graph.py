"""The graph as the services see it: real queries over Bolt."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, LiteralString

# the driver takes in NumPy, pandas and PyArrow where they are installed: 50 MB and half a second for values that are
# never asked for here
_KEPT_OUT = [name for name in ("numpy", "pandas", "pyarrow") if name not in sys.modules]
sys.modules.update(dict.fromkeys(_KEPT_OUT))  # type: ignore[arg-type]  # None: an import of it fails
try:
    import neo4j
    from neo4j.exceptions import DriverError, Neo4jError
finally:
    for _name in _KEPT_OUT:
        del sys.modules[_name]

WAIT = 5.0  # seconds for a query

Row = dict[str, Any]


class NoGraph(Exception):
    """The graph did not answer; says why."""


class Graph:
    """A client of the platform's graph server, whether or not that runs."""

    def __init__(self, environment: Mapping[str, str]):
        login = (environment.get("MEMGRAPH_USER") or "", environment.get("MEMGRAPH_PASSWORD") or "")
        self._database = environment.get("MEMGRAPH_DATABASE") or None
        self._driver = neo4j.AsyncGraphDatabase.driver(
            environment.get("MEMGRAPH_URI") or "bolt://127.0.0.1:7687", auth=login if any(login) else None,
            connection_timeout=WAIT, connection_acquisition_timeout=WAIT, max_connection_pool_size=8,
            telemetry_disabled=True, notifications_min_severity=neo4j.NotificationMinimumSeverity.OFF,
        )  # fmt: skip

    async def close(self) -> None:
        with suppress(DriverError, Neo4jError, OSError):  # a server that is gone takes no farewell
            await self._driver.close()

    async def rows(self, query: LiteralString, timeout: float = WAIT, **parameters: Any) -> list[Row]:
        """What a query returns; raises :class:`NoGraph`.

        Tried twice: a connection of before the server's restart only shows when it is used.
        """
        try:
            async with asyncio.timeout(timeout):
                try:
                    return await self._run(query, parameters)
                except DriverError:
                    return await self._run(query, parameters)
        except TimeoutError as error:
            raise NoGraph(f"no answer within {timeout:g} s") from error
        except (DriverError, Neo4jError, OSError) as error:
            raise NoGraph(f"{type(error).__name__}: {error}".splitlines()[0]) from error

    async def _run(self, query: LiteralString, parameters: Mapping[str, Any]) -> list[Row]:
        async with self._driver.session(database=self._database) as session:
            return [record.data() async for record in await session.run(query, dict(parameters))]

    async def answers(self, within: float = WAIT) -> bool:
        """Whether the graph answers a query within some seconds."""
        try:
            await self.rows("RETURN 1", timeout=within)
        except NoGraph:
            return False
        return True
