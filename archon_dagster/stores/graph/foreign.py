"""A graph restored into a server of another kind: what that server cannot hold is named, and not expected of it.

Between servers of one kind every index and constraint must be there afterwards, or the restore has failed. A server
of another kind may have nothing like some of them, or keep two as one (an index that a constraint brings along): what
is missing is told to ``work.warn``. What nobody asked for is never accepted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from archon_dagster.repository.manifest import Fingerprint
from archon_dagster.stores.base import Work
from archon_dagster.stores.graph.fingerprint import GraphDigest, canonical
from archon_dagster.stores.graph.schema import SchemaObject


def accept_what_it_can_hold(
    wanted: Sequence[SchemaObject], live: Sequence[SchemaObject], warned: Iterable[str], work: Work
) -> None:
    """Tell ``work`` what the schema is to be compared with, where the server holds less than was wanted.

    :param warned: what has been said already about objects that could not be made.
    """
    found = Counter(_identity(item) for item in live)
    missing: list[SchemaObject] = []
    for item in wanted:
        if (identity := _identity(item)) is None:
            continue
        if found[identity]:
            found[identity] -= 1
        else:
            missing.append(item)
    extra = any(count for identity, count in found.items() if identity is not None)
    if not missing or extra:
        return
    said = tuple(warned)
    for item in missing:
        if not any(str(item) in text for text in said):
            work.warn(f"graph: {item} is not there as such: the server keeps it as part of another, or not at all")
    digest = GraphDigest()
    digest.schema(live)
    work.expect(Fingerprint(parts={"schema": digest.fingerprint().parts["schema"]}))


def _identity(item: SchemaObject) -> str | None:
    identity = item.identity
    return None if identity is None else canonical(identity)
