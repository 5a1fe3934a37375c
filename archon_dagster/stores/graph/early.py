"""Local datetimes before 1970, which Memgraph's Bolt server takes in one way and hands out in another.

Known of it: as a parameter such a value ends the whole session (memgraph issue 1748, reported on 2.13); and where
fractions of a second are counted from a number of seconds that was rounded towards zero, it comes back a second late.
Which of both a server does depends on its version, so the server is asked, with values that are only returned.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from archon_dagster.errors import StoreUnavailable
from archon_dagster.stores.graph.connection import QueryRefused
from archon_dagster.stores.graph.values import Json

if TYPE_CHECKING:
    from archon_dagster.stores.graph.connection import Bolt

_YEARS = "(?:0|1[0-8]|19[0-6])"
IN_LINE = re.compile(f'"LocalDateTime":"{_YEARS}'.encode())
_TEXT = re.compile(_YEARS)


@dataclass(frozen=True)
class Way:
    """How to send a local datetime before 1970 so that it comes back as it was.

    :param text: as text, for ``localDateTime(…)`` to read; not possible inside lists and maps.
    :param behind: a second less where it has a fraction of one.
    """

    text: bool = False
    behind: bool = False

    def sent(self, value: Any) -> Any:
        """A property value with every such datetime in it made what is to be sent for it."""
        from neo4j.time import DateTime

        if isinstance(value, list):
            return [self.sent(item) for item in value]
        if isinstance(value, dict):
            return {key: self.sent(item) for key, item in value.items()}
        if not isinstance(value, DateTime) or value.tzinfo is not None or value.year >= 1970:
            return value
        moment = value - timedelta(seconds=1) if self.behind and value.nanosecond else value
        return moment.iso_format()[:26] if self.text else moment


def is_early(kind: str, content: Json) -> bool:
    """Whether an encoded value is such a datetime."""
    return kind == "LocalDateTime" and _TEXT.match(content) is not None


def ask(bolt: Bolt) -> Way | None:
    """The first way that works on this server; ``None`` where none does."""
    return next((way for way in _ways() if _works(bolt, way)), None)


def _ways() -> Iterator[Way]:
    for text in (False, True):
        for behind in (False, True):
            yield Way(text, behind)


def _works(bolt: Bolt, way: Way) -> bool:
    from neo4j.time import DateTime

    query = "RETURN localDateTime($moment)" if way.text else "RETURN $moment"
    for moment in (DateTime(1969, 12, 30, 12, 30, 15, 0), DateTime(1969, 12, 30, 12, 30, 15, 500_000_000)):
        try:
            rows = bolt.rows(query, "ask how it takes datetimes before 1970", moment=way.sent(moment))
        except (QueryRefused, StoreUnavailable):  # an answer too; if it is really gone, the next question finds out
            return False
        if rows[0][0] != moment:
            return False
    return True
