"""Adding one collection under a name that is free; see :mod:`~archon_dagster.stores.vectors.claiming`.

A snapshot is loaded into an empty collection that was made for it, so that the name is taken before a byte is sent: the
server would replace whatever has the name when the last byte has arrived, which may be minutes later.
"""

from __future__ import annotations

from collections.abc import Mapping

from archon_dagster.errors import VersionMismatch
from archon_dagster.stores.base import Progress, Work
from archon_dagster.stores.vectors import fingerprint, loading
from archon_dagster.stores.vectors.claiming import Claim
from archon_dagster.stores.vectors.client import Client
from archon_dagster.stores.vectors.loading import Candidate
from archon_dagster.stores.vectors.portable import creating
from archon_dagster.stores.vectors.portable import loading as by_points
from archon_dagster.stores.vectors.portable.layout import About
from archon_dagster.stores.vectors.portable.loading import PortableCandidate


def add(
    client: Client, candidate: Candidate | PortableCandidate, claim: Claim, aliases: Mapping[str, str], work: Work,
    cleanup: float,
) -> None:  # fmt: skip
    """Take the name, load and prove the collection, and give it those of its aliases that nobody uses.

    :raises StoreError: somebody else has the name.
    """
    work.report(Progress("vectors", f"restore {claim.name}", 0, 1, "collections"))
    if isinstance(candidate, PortableCandidate):
        claim.create(client, by_points.body(client, candidate))
        claim.sent = candidate.points.count
        by_points.fill(client, candidate, work)
    else:
        _load(client, candidate, claim, work, cleanup)
    candidate.file.unlink(missing_ok=True)
    there = client.aliases()
    client.change_aliases(create={alias: name for alias, name in aliases.items() if alias not in there})
    work.report(Progress("vectors", "restored", 1, 1, "collections"))


def _load(client: Client, candidate: Candidate, claim: Claim, work: Work, cleanup: float) -> None:
    body = _body(client, candidate, cleanup)
    if body is None:
        claim.require_free(client)
    else:
        claim.create(client, body)
    claim.sent = candidate.count or 0
    loading.load(client, candidate, claim.name, work, cleanup)
    claim.arrived()
    if candidate.count is None:  # neither read here nor promised by the backup
        claim.sent = claim.held(client)
    loading.finish(client, candidate, work)


def _body(client: Client, candidate: Candidate, cleanup: float) -> dict[str, object] | None:
    """The request that makes a collection as the snapshot's, which keeps its own settings when it is loaded.

    ``None`` where this server makes a different one of it, or none: then only the snapshot itself can make it.
    """
    contents = candidate.contents
    about = About.of(candidate.collection, str(client.version), contents.config, contents.indexes, {})
    try:
        plan = creating.plan(client, about, cleanup)
    except VersionMismatch:
        return None
    same = plan.schema == fingerprint.schema_part(contents.config, contents.indexes)
    return dict(plan.body) if same else None
