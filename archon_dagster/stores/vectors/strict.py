"""What a collection in *strict mode* (servers from 1.13 on) does not allow, and how its points are counted anyway.

Strict mode caps the size of a page and may forbid everything ``exact``, an exact count included. A backup has to read
such a collection too, so pages are cut to what is allowed, and where exact counts are forbidden the ids are counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archon_dagster.stores.vectors.client import Client

ID_PAGE = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one collection.

    :param page: points that may be asked for at a time; ``None``: any number.
    :param exact: exact counts and searches are allowed.
    """

    page: int | None = None
    exact: bool = True

    def cut(self, wanted: int) -> int:
        """The page to ask for where ``wanted`` points would be best."""
        return wanted if self.page is None else max(1, min(wanted, self.page))


def limits(config: Mapping[str, Any]) -> Limits:
    """The limits in the ``config`` of ``GET /collections/{c}``."""
    strict = config.get("strict_mode_config") or {}
    if not strict.get("enabled"):
        return Limits()
    return Limits(page=strict.get("max_query_limit"), exact=strict.get("search_allow_exact") is not False)


def count(client: Client, collection: str, config: Mapping[str, Any]) -> int:
    """The exact number of points."""
    allowed = limits(config)
    if allowed.exact:
        return client.count(collection)
    total, offset = 0, None
    while True:
        points, offset = client.scroll(collection, allowed.cut(ID_PAGE), content=False, offset=offset)
        total += len(points)
        if offset is None:
            return total
