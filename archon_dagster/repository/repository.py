"""The backup repository as the rest of the program sees it.

::

    repository = Repository.open(settings.repository, create=True)
    with repository.lock("backup", wait=30) as lease, repository.begin("manual", lease=lease) as pending:
        vectors.export(pending, work)
        manifest = pending.seal(window=window, versions=versions)
    repository.verify(manifest.id, work).raise_for_damage()
    vectors.restore(repository.source(repository.resolve("latest", stores=["vectors"])), work)
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Set
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path

from archon_dagster.errors import BackupNotFound, DamagedBackup, RepositoryError, RepositoryMissing
from archon_dagster.repository import lock as locking
from archon_dagster.repository.backends.base import Backend, Check, ObjectExists, ObjectNotFound, both, no_check
from archon_dagster.repository.backends.heeding import after, tidying
from archon_dagster.repository.backends.opening import open_backend
from archon_dagster.repository.catalogue import Catalogue, Entry, Marker
from archon_dagster.repository.chunks import ChunkPool, ChunkStore
from archon_dagster.repository.config import RepositoryConfig, create_config, has_config, load_config
from archon_dagster.repository.holder import LEASE_SECONDS, Holder, current_holder
from archon_dagster.repository.identity import this_process
from archon_dagster.repository.lock import Lease
from archon_dagster.repository.manifest import BackupKind, Manifest
from archon_dagster.repository.names import instant_of, manifest_key, marker_key, new_backup_id
from archon_dagster.repository.pending import Begun, Clock, PendingBackup, utc_now
from archon_dagster.repository.reading import BackupSource
from archon_dagster.repository.selection import Selection
from archon_dagster.repository.verification import (
    DIGESTS,
    CheckRecord,
    Damage,
    Verification,
    read_checks,
    record_check,
    shared_damage,
    verify_chunks,
)
from archon_dagster.stores.base import Work

_log = logging.getLogger(__name__)

EXTRACT_KEY = "extract.py"
_WITHDRAW = 1.0  # seconds after a cancel for taking the marker away; else the next backup does it
_STEP = timedelta(minutes=1)  # what a clock that is kept right may be corrected by
_SMALL_FOLDERS = ("backups/", "cache/", "keeps/", "locks/", "removed/", "suspects/", "verifications/")
_OURS = (*_SMALL_FOLDERS, "chunks/", EXTRACT_KEY, "lost+found")


class Repository:
    """One backup repository. Open it with :meth:`open`; there is nothing to close.

    :param check: raises to stop whatever waits for the storage. What has to be put in order then is still tried, for
        about a second.
    """

    def __init__(self, backend: Backend, config: RepositoryConfig, check: Check = no_check):
        self.config = config
        self._storage, self._check = backend, check
        self._backend = backend.heeding(check)
        self._chunks = ChunkStore(self._backend)
        self._catalogue = Catalogue(self._backend)

    @classmethod
    def open(cls, url: str, *, create: bool = False, check: Check = no_check) -> Repository:
        """Open the repository at a path, ``file://`` or ``s3://`` address.

        :param create: make one where there is none; refuses a directory with other things in it.
        :param check: see the class.
        """
        return cls.on(open_backend(url, create=create), create=create, check=check)

    @classmethod
    def on(cls, storage: Backend, *, create: bool = False, check: Check = no_check) -> Repository:
        """Open the repository on a backend."""
        backend = storage.heeding(check)
        if has_config(backend):
            return cls(storage, load_config(backend), check)
        if not create:
            raise RepositoryMissing(
                "there is no backup repository here",
                where=backend.describe(),
                todo="check the setting ARCHON_REPOSITORY and that the disk is mounted; the first backup makes one",
            )
        _require_empty(backend)
        repository = cls(storage, create_config(backend, RepositoryConfig()), check)
        repository._place_extract()
        return repository

    def describe(self) -> str:
        """Where it is, for messages."""
        return self._backend.describe()

    @property
    def backend(self) -> Backend:
        """The storage, for :mod:`~archon_dagster.repository.removal` and :mod:`~archon_dagster.repository.collection`,
        which few callers need."""
        return self._backend

    # the lock

    def lock(
        self,
        purpose: str,
        *,
        wait: float = 0,
        lease: float = LEASE_SECONDS,
        check: Check = no_check,
    ) -> AbstractContextManager[Lease]:
        """Hold the platform lock; :class:`~archon_dagster.errors.RepositoryBusy` names who holds it.

        :param wait: seconds to wait for it.
        :param lease: seconds without a heartbeat after which somebody else may take it.
        :param check: called while waiting; raises to stop (``work.check``).
        """
        return locking.lock(self._storage, purpose, wait=wait, lease=lease, check=both(self._check, check))

    def holder(self) -> Holder | None:
        """Who holds the platform lock right now."""
        return current_holder(self._backend)

    # writing

    @contextlib.contextmanager
    def begin(
        self,
        kind: BackupKind,
        *,
        lease: Lease | None = None,
        clock: Clock = utc_now,
        check: Check = no_check,
    ) -> Iterator[PendingBackup]:
        """Begin a backup; it exists once :meth:`PendingBackup.seal` returned, and leaving without is giving it up.

        :param lease: the lock, where the caller holds it; else it is taken here, without waiting.
        :param check: called while waiting for the storage; raises to stop (``work.check``).
        """
        with contextlib.ExitStack() as stack:
            held = lease or stack.enter_context(self.lock(f"backup ({kind})"))
            held.check()
            self._clear_leftovers(held)
            if self._backend.exists(EXTRACT_KEY) is None:  # the creation was interrupted, or somebody tidied up
                self._place_extract()
            may_go_on = both(self._check, check)
            begun = self._announce(kind, held, clock, may_go_on)
            pool = ChunkPool(self._chunks, check=may_go_on)
            pending = PendingBackup(begun, self._storage, self.config.chunker, pool, held, clock, may_go_on)
            try:
                may_go_on()
                yield pending
            except BaseException as error:
                pool.close()
                self._withdraw(begun.id, error)
                raise
            pool.close()
            self._finish(begun.id, pending.manifest)

    def _announce(self, kind: BackupKind, lease: Lease, clock: Clock, check: Check) -> Begun:
        """Choose an id and leave the marker that explains what is there should we die."""
        surely = self._storage.heeding(after(check))  # a marker whose write was not heard of could not be removed
        entries = self._catalogue.entries()
        parent = next((entry.id for entry in entries if entry.state == "complete"), None)
        process = this_process()
        while True:
            started = clock()
            backup_id = new_backup_id(started, parent)
            marker = Marker(kind=kind, started=started, holder=lease.holder, host=process.host, pid=process.pid,
                            fence=lease.fence)  # fmt: skip
            with contextlib.suppress(ObjectExists):  # the same second and the same suffix: choose again
                if self._backend.exists(manifest_key(backup_id)) is None:
                    surely.put(marker_key(backup_id), marker.model_dump_json().encode(), if_absent=True)
                    return Begun(backup_id, kind, started, parent, _backwards(started, parent))

    def _finish(self, backup_id: str, sealed: Manifest | None) -> None:
        """The marker has done its duty. A sealed backup is no failure because this one file could not be removed."""
        if sealed is not None:
            self._catalogue.remember(sealed)
            self._catalogue.save_cache()
        try:
            self._backend.delete(marker_key(backup_id))
        except RepositoryError as error:
            _log.warning("the marker of backup %s stays until the next backup clears it: %s", backup_id, error)

    def _withdraw(self, backup_id: str, error: BaseException) -> None:
        try:
            self._storage.heeding(tidying(error, self.describe(), _WITHDRAW)).delete(marker_key(backup_id))
        except RepositoryError as failure:
            error.add_note(f"the marker of backup {backup_id} stays until the next backup clears it: {failure}")

    def _clear_leftovers(self, lease: Lease) -> None:
        """Remove what killed backups left. We hold the lock, so a marker with another fence belongs to nobody."""
        markers = {backup_id: self._catalogue.marker(backup_id) for backup_id in self._catalogue.markers()}
        dead = [backup_id for backup_id, marker in markers.items() if marker is None or marker.fence != lease.fence]
        for prefix in ("",) if dead else _SMALL_FOLDERS:
            self._backend.sweep(prefix)
        for backup_id in dead:
            self._backend.delete(marker_key(backup_id))

    # reading

    def backups(self, *, checks: bool = False) -> list[Entry]:
        """Every backup, and what unfinished ones have left, newest first.

        :param checks: also say what the checks of each have come to.
        """
        holder = self.holder() if self._catalogue.markers() else None
        entries = self._catalogue.entries(holder.fence if holder else None)
        return self._catalogue.with_checks(entries) if checks else entries

    def foreign(self) -> list[str]:
        """Files among the manifests that are none of ours; they are left alone."""
        return self._catalogue.foreign()

    def resolve(self, selector: str, stores: Iterable[str] | None = None) -> Manifest:
        """The one complete backup a selector means.

        :param selector: an id or a unique prefix of one, a date ``YYYYMMDD`` (the newest of that day, UTC), or
            ``latest``: the newest that contains the stores asked for, is no safety backup and has no failed check.
        :raises BackupNotFound: nothing matches, or more than one; says what is near and what there is.
        :raises DamagedBackup: it is there and its manifest is damaged.
        """
        return Selection(self._catalogue, self.checks).resolve(selector, stores)

    def manifest(self, backup_id: str) -> Manifest:
        """The manifest of the backup with exactly this id; :meth:`resolve` for what an operator types."""
        return self._catalogue.manifest(backup_id)

    def source(self, manifest: Manifest, check: Check = no_check) -> BackupSource:
        """The artifacts of a backup, to restore or verify stores from.

        :param check: called while waiting for the storage; raises to stop.
        """
        return BackupSource(manifest, self._chunks.heeding(check))

    # checking

    def verify(self, backup_id: str, work: Work, *, record: bool = True) -> Verification:
        """Read every chunk and compare every digest, the manifest's included.

        Damaged chunks are remembered, so that the next backup that has their bytes repairs them; and every other
        backup that shares one fails its check ``digests`` as well, until it is verified itself.

        :param record: keep the result of this backup as the check ``digests``.
        """
        try:
            result = verify_chunks(self._catalogue.manifest(backup_id), self._chunks, work)
        except ObjectNotFound as error:
            raise BackupNotFound(f"there is no complete backup {backup_id}", where=self.describe(),
                                 todo="`archon backups` lists them") from error  # fmt: skip
        except DamagedBackup as error:
            result = Verification(backup_id, (Damage(None, None, error.what),))
        if bad := {damage.chunk for damage in result.damage if damage.chunk}:
            self._remember(backup_id, bad, work)
        if record:
            self.record(backup_id, result.as_check(DIGESTS, utc_now()))
        return result

    def _mark_others(self, found_in: str, bad: Set[str], work: Work) -> None:
        """What is damaged in one backup is damaged in every other that has the same bytes."""
        for entry in self.backups():
            work.check()
            if entry.state != "complete" or entry.id == found_in:
                continue
            try:
                manifest = self.manifest(entry.id)
            except (DamagedBackup, ObjectNotFound):
                continue  # damaged itself, or deleted a moment ago: the listing says so
            if shared := bad & {chunk.sha256 for artifact in manifest.artifacts for chunk in artifact.chunks}:
                self.record(entry.id, shared_damage(found_in, shared, utc_now()))

    def _remember(self, backup_id: str, bad: Set[str], work: Work) -> None:
        try:
            self._chunks.suspect(bad)
            self._mark_others(backup_id, bad, work)
        except RepositoryError as error:  # read-only, perhaps: what was found out counts all the same
            _log.warning("damaged chunks cannot be noted, so the next backup may not repair them: %s", error)

    def record(self, backup_id: str, check: CheckRecord) -> None:
        """Keep what a check has found; the newest result of each check counts."""
        record_check(self._backend, backup_id, check)

    def checks(self, backup_id: str) -> list[CheckRecord]:
        """What checks have found, oldest first."""
        return read_checks(self._backend, backup_id)

    # plain files

    def export(self, manifest: Manifest, directory: Path, work: Work | None = None) -> list[Path]:
        """Write a backup as plain files into an empty or new directory; all of it or nothing."""
        from archon_dagster.repository.export import export

        return export(manifest, self, directory, work)

    def _place_extract(self) -> None:
        script = files("archon_dagster.repository").joinpath("extract.py").read_bytes()
        self._backend.put(EXTRACT_KEY, script)
        self._backend.barrier()


def _backwards(started: datetime, newest: str | None) -> str:
    """What to say of a clock that shows a time before the newest backup; a short step is no news."""
    if newest is None or instant_of(newest) - started < _STEP:
        return ""
    said = (
        f"the clock of this host showed {started:%Y-%m-%d %H:%M:%S} UTC, which is before the backup {newest}: "
        "its id is the next after that one"
    )
    _log.warning("%s; see which clock is wrong", said)
    return said


def _require_empty(backend: Backend) -> None:
    """What a creation that was interrupted has left is ours; anything else is not."""
    foreign = [info.key for info in backend.list("") if not info.key.startswith(_OURS)]
    if foreign:
        raise RepositoryError(
            f"a repository cannot be made here: there are other files ({', '.join(sorted(foreign)[:3])} …)",
            where=backend.describe(),
            todo="choose an empty directory",
        )
