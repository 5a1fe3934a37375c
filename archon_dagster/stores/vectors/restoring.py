"""Restore: make the server hold exactly the collections and aliases of a backup.

Nothing is touched until everything that can be known beforehand is known: the versions go together, every snapshot
has arrived in scratch with its digests checked, is whole, and was read by Qdrant's engine; where the engine cannot
read it, this very server has loaded it under a scratch name. Then collection by collection is replaced and proven.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from dataclasses import dataclass

from archon_dagster.errors import Cancelled, DamagedBackup, StoreError, StoreUnavailable
from archon_dagster.repository.manifest import Artifact
from archon_dagster.stores.base import Progress, Source, Work
from archon_dagster.stores.vectors import adding, configuration, engine, leftovers, loading, state, verification
from archon_dagster.stores.vectors.claiming import Claim
from archon_dagster.stores.vectors.client import Client
from archon_dagster.stores.vectors.configuration import Configuration
from archon_dagster.stores.vectors.fingerprint import schema
from archon_dagster.stores.vectors.loading import Candidate
from archon_dagster.stores.vectors.one import one_of
from archon_dagster.stores.vectors.portable import layout as portable
from archon_dagster.stores.vectors.portable.choosing import routed
from archon_dagster.stores.vectors.portable.loading import PortableCandidate, replace
from archon_dagster.stores.vectors.portable.restoring import prepare
from archon_dagster.stores.vectors.snapshot import DamagedSnapshot


@dataclass(frozen=True)
class Options:
    """See :class:`~archon_dagster.stores.vectors.store.VectorStore`.

    :param only: the one collection of the backup to restore; no other is touched, and no alias of any other.
    :param new_name: what it is called afterwards, where that is another name.
    :param claim: the name under which it is added: nothing is replaced, nothing that is there is deleted.
    """

    trial_load: bool
    free_space: Callable[[], int | None]
    cleanup: float
    only: str | None = None
    new_name: str = ""
    claim: Claim | None = None


def restore(client: Client, source: Source, work: Work, options: Options) -> None:
    """See the module. A failure after the first change says which collection it was and what repairs it."""
    preflight(client, source, dataclasses.replace(work, warn=_heard_later), options)
    backup, artifacts = _load(client, source, work, options)
    matching = client.version.loads(backup.server)
    leftovers.sweep(client, options.cleanup)
    routes = _routes(client, source, work, backup, artifacts, options)
    candidates: list[Candidate | PortableCandidate] = []
    for number, (collection, artifact) in enumerate(routes.items()):
        work.report(Progress("vectors", f"check {collection}", number, len(artifacts), "collections"))
        if artifact.kind == portable.KIND:
            candidates.append(prepare(client, source, work, collection, artifact, number, options.cleanup))
        else:
            candidates.append(_prepare(client, source, work, backup, collection, artifact, options, matching, number))
    if options.new_name:
        candidates = [dataclasses.replace(candidate, collection=options.new_name) for candidate in candidates]
    if options.claim is None:
        _apply(client, backup, candidates, work, options)
    else:
        adding.add(client, candidates[0], options.claim, backup.aliases, work, options.cleanup)


def _heard_later(_: str) -> None: ...


def preflight(client: Client, source: Source, work: Work, options: Options) -> None:
    """Raise where it is known before a byte is sent that these snapshots cannot go onto this server."""
    backup, artifacts = _load(client, source, work, options)
    routes = _routes(client, source, work, backup, artifacts, options)
    state.refuse_cluster(client)
    _require_scratch(work, routes)


def _load(client: Client, source: Source, work: Work, options: Options) -> tuple[Configuration, dict[str, Artifact]]:
    """The document of the backup and its snapshots, or what of them belongs to the one collection."""
    backup, artifacts = configuration.load(source)
    if options.only is None:
        return backup, artifacts
    return one_of(client, source, work, (backup, artifacts), options.only, options.new_name)


def _routes(
    client: Client, source: Source, work: Work, backup: Configuration, snapshots: dict[str, Artifact], options: Options
) -> dict[str, Artifact]:
    """What each collection is restored from: the documented rule must be kept, unless a trial load is to decide."""
    return routed(client, source, backup.server, snapshots, asked=work.portable, trial=options.trial_load)


def _require_scratch(work: Work, artifacts: dict[str, Artifact]) -> None:
    sizes = [artifact.size for artifact in artifacts.values()]
    need = sum(sizes) + (engine.unpacked_size(max(sizes)) if sizes else 0)
    free = shutil.disk_usage(work.scratch).free
    if free < need:
        raise StoreError(
            f"restoring the vectors needs {need >> 20} MiB of scratch, there are {free >> 20} MiB; nothing was touched",
            where=str(work.scratch),
            todo="free space there, or move ARCHON_HOME to a larger volume",
        )


def _prepare(
    client: Client, source: Source, work: Work, backup: Configuration, collection: str, artifact: Artifact,
    options: Options, matching: bool, number: int,
) -> Candidate:  # fmt: skip
    """Fetch one snapshot and find out, as far as that is possible beforehand, whether it will load."""
    file = work.scratch / f"restore-{number}.snapshot"
    try:
        contents = verification.fetch(source, artifact, file, work)
        if artifact.name in work.verified and matching and engine.knows(backup.server) and not contents.rocksdb:
            # what the engine cannot read is in the list too: complete as a file, and that is all
            return Candidate(collection, file, artifact.sha256, contents, artifact.counts.get(collection))
        reading = _read(file, contents, backup, work)
        wrong = verification.differences(collection, artifact, contents, reading)
    except DamagedSnapshot as error:
        raise _damaged(source, artifact, error.what) from error
    if wrong:
        raise _damaged(source, artifact, f"it is not what the manifest says: {wrong}")
    count = reading.count if reading is not None else artifact.counts.get(collection)
    candidate = Candidate(collection, file, artifact.sha256, contents, count)
    if reading is None or not matching:
        _try(client, candidate, work, options, must=not matching)
    return candidate


def _read(file: object, contents: object, backup: Configuration, work: Work) -> engine.Reading | None:
    try:
        return engine.read(file, contents, backup.server, work.scratch, check=work.check)  # type: ignore[arg-type]
    except engine.NotVerifiableHere:
        return None


def _try(client: Client, candidate: Candidate, work: Work, options: Options, *, must: bool) -> None:
    """A trial load, where the server's volume has room for the file, its unpacked copy and the collection."""
    free, need = options.free_space(), 3 * candidate.file.stat().st_size
    if free is not None and free < need:
        if must:
            raise StoreError(
                f"no room for a trial load of {candidate.collection}: {need >> 20} MiB needed, {free >> 20} MiB free; "
                "nothing was touched",
                where=client.address,
                todo="free space on the server's volume",
            )
        return
    work.report(Progress("vectors", f"trial load of {candidate.collection}", 0, None, "collections"))
    try:
        loading.trial(client, candidate, work, options.cleanup)
    except StoreError as error:
        if must or "No space left" not in error.what:
            raise


def _apply(
    client: Client, backup: Configuration, candidates: list[Candidate | PortableCandidate], work: Work, options: Options
) -> None:
    work.check()
    there = state.examine(client)
    wanted = {candidate.collection for candidate in candidates}
    _clear(client, backup, there, wanted)
    for number, candidate in enumerate(candidates):
        work.report(Progress("vectors", f"restore {candidate.collection}", number, len(candidates), "collections"))
        try:
            if isinstance(candidate, PortableCandidate):
                replace(client, candidate, work)
            else:
                _replace(client, candidate, there, work, options)
        except (StoreError, Cancelled) as error:
            raise _half_way(client, candidate.collection, error) from error
        candidate.file.unlink(missing_ok=True)
    _align_aliases(client, backup, wanted)
    work.report(Progress("vectors", "restored", len(candidates), len(candidates), "collections"))


def _replace(client: Client, candidate: Candidate, there: state.State, work: Work, options: Options) -> None:
    alive, contents = there.alive.get(candidate.collection), candidate.contents
    fresh = alive is not None and _core(alive.schema) != _core(schema(contents.config, contents.indexes))
    loading.replace(client, candidate, work, options.cleanup, fresh=fresh)


def _clear(client: Client, backup: Configuration, there: state.State, wanted: set[str]) -> None:
    """Remove what stands in the way or is not in the backup.

    An upload to a name that is an alias would replace the collection *behind* it, so such an alias goes first.
    """
    aliases = client.aliases()
    client.change_aliases(delete=[alias for alias in aliases if alias in wanted])
    if backup.everything:
        for name in [*there.alive, *there.dead]:
            if name not in wanted:
                client.delete_collection(name)


def _align_aliases(client: Client, backup: Configuration, wanted: set[str]) -> None:
    have, want = client.aliases(), backup.aliases
    ours = have if backup.everything else {a: c for a, c in have.items() if c in wanted or a in want}
    wrong = [alias for alias, collection in ours.items() if want.get(alias) != collection]
    missing = {alias: collection for alias, collection in want.items() if have.get(alias) != collection}
    client.change_aliases(delete=wrong, create=missing)


def _core(found: dict[str, object]) -> dict[str, object]:
    """The schema without payload indexes, which can be changed in place."""
    return {key: value for key, value in found.items() if key != "indexes"}


def _half_way(client: Client, collection: str, error: StoreError | Cancelled) -> StoreError | Cancelled:
    kind = type(error) if type(error) in (Cancelled, StoreUnavailable) else StoreError
    return kind(
        f"restoring collection {collection} stopped half way, it may be dead or missing: {error.what}",
        where=client.address,
        tried=error.tried,
        todo="; ".join(
            filter(None, [error.todo, "restoring this backup again, or the safety backup, repairs the collection"])
        ),
    )


def _damaged(source: Source, artifact: Artifact, why: str) -> DamagedBackup:
    return DamagedBackup(
        f"{artifact.name}: {why}; nothing was touched",
        where=f"backup {source.backup_id}",
        todo="restore another backup (archon backups)",
    )
