"""Is a backup still what was written? Every chunk, every digest; and what checks have found so far.

Verification lists *all* damage, not the first: an operator wants to know whether one collection or everything is lost.
Each result is kept under ``verifications/<backup id>/``; what a backup is worth is the newest result of each check.
Damaged chunks are remembered, so that the next backup that still has their bytes writes them anew; and every backup
that shares one is marked, because nobody should have to find the same damage twice on the worst day.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from archon_dagster.errors import DamagedBackup
from archon_dagster.repository.backends.base import (
    Backend,
    ObjectExists,
    ObjectInfo,
    ObjectNotFound,
    ObjectUnreadable,
)
from archon_dagster.repository.chunk_format import ChunkDamage
from archon_dagster.repository.chunks import ChunkStore
from archon_dagster.repository.manifest import Artifact, Chunk, Manifest
from archon_dagster.repository.names import BACKUP_ID, checked_check_name
from archon_dagster.repository.reading import DAMAGE_TODO
from archon_dagster.stores.base import Progress, Work

_AHEAD = 32 << 20  # plain bytes under way
_THREADS = 8
_REPORT_EVERY = 32 << 20

_TIME = "%Y%m%dT%H%M%S.%fZ"
_FOLDER = "verifications/"
_RECORD = re.compile(
    rf"{_FOLDER}(?P<backup>{BACKUP_ID.pattern})/(?P<time>\d{{8}}T\d{{6}}\.\d{{6}}Z)-(?P<name>[a-z0-9][a-z0-9_.-]{{0,63}})\.json"
)
_LARGEST_RECORD = 16 << 20

Severity = Literal["error", "warning"]

DIGESTS = "digests"
"""The check of every chunk and every digest of a backup."""


class CheckRecord(BaseModel):
    """What one check found about one backup; ``seconds`` is what it measured, where it measures a duration.

    ``unreadable`` is the key of the record where it could not be read: nobody knows what the check found then, so it
    does not count as passed. It is never written.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    passed: bool
    severity: Severity = "error"
    detail: str = ""
    time: datetime
    seconds: float | None = None
    unreadable: str = Field(default="", exclude=True)


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is wrong. ``chunk`` is the chunk's full name, or ``None`` where no chunk is to blame."""

    artifact: str | None
    chunk: str | None
    what: str

    def __str__(self) -> str:
        artifact = f"artifact {self.artifact}: " if self.artifact else ""
        return f"{artifact}chunk {self.chunk[:12]} {self.what}" if self.chunk else f"{artifact}{self.what}"


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of verifying one backup."""

    backup_id: str
    damage: tuple[Damage, ...]
    artifacts: int = 0
    chunks: int = 0
    bytes_read: int = 0

    @property
    def passed(self) -> bool:
        return not self.damage

    def as_check(self, name: str, time: datetime) -> CheckRecord:
        """The record to keep."""
        good = f"{self.artifacts} artifacts, {self.chunks:,} chunks, {self.bytes_read:,} bytes are as they were written"
        return CheckRecord(name=name, passed=self.passed, detail=good if self.passed else self.summary(), time=time)

    def summary(self, most: int = 5) -> str:
        """The damage in a few lines."""
        lines = [str(damage) for damage in self.damage[:most]]
        if len(self.damage) > most:
            lines.append(f"and {len(self.damage) - most:,} more")
        return "; ".join(lines)

    def damaged_artifacts(self) -> dict[str, int]:
        """How many places are damaged in each artifact that is."""
        found: dict[str, int] = {}
        for damage in self.damage:
            if damage.artifact is not None:
                found[damage.artifact] = found.get(damage.artifact, 0) + 1
        return found

    def raise_for_damage(self) -> None:
        """:class:`DamagedBackup` naming what is damaged, where anything is."""
        if self.damage:
            raise DamagedBackup(
                f"backup {self.backup_id} is damaged in {len(self.damage):,} places: {self.summary()}",
                where=f"backups/{self.backup_id}.json",
                todo=DAMAGE_TODO,
            )


def shared_damage(found_in: str, chunks: Set[str], time: datetime) -> CheckRecord:
    """The record for a backup that has the same damaged chunks as one that was verified."""
    first = min(chunks)[:12]
    many = f"{len(chunks):,} chunks that it shares with backup {found_in} are damaged, such as {first}"
    one = f"chunk {first}, which it shares with backup {found_in}, is damaged"
    return CheckRecord(name=DIGESTS, passed=False, detail=one if len(chunks) == 1 else many, time=time)


def verify_chunks(manifest: Manifest, chunks: ChunkStore, work: Work) -> Verification:
    """Read every chunk of every artifact and compare every digest."""
    damage: list[Damage] = []
    total = sum(artifact.size for artifact in manifest.artifacts)
    done = 0
    chunks = chunks.heeding(work.check)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="verify") as threads:
        for artifact in manifest.artifacts:
            damage += _verify_artifact(artifact, chunks, threads, work, done, total)
            done += artifact.size
    return Verification(
        backup_id=manifest.id,
        damage=tuple(damage),
        artifacts=len(manifest.artifacts),
        chunks=sum(len(artifact.chunks) for artifact in manifest.artifacts),
        bytes_read=total,
    )


def _verify_artifact(
    artifact: Artifact, chunks: ChunkStore, threads: ThreadPoolExecutor, work: Work, done: int, total: int
) -> Iterator[Damage]:
    digest = hashlib.sha256()
    whole, reported = True, 0
    for chunk, future in _loaded(artifact.chunks, chunks, threads):
        try:
            work.check()
            digest.update(future.result())
        except ChunkDamage as error:
            whole = False
            yield Damage(artifact.name, chunk.sha256, str(error))
        except BaseException:
            threads.shutdown(wait=True, cancel_futures=True)
            raise
        done += chunk.size
        if done - reported >= _REPORT_EVERY:
            work.report(Progress(artifact.store, f"verify {artifact.name}", done, total))
            reported = done
    if whole and digest.hexdigest() != artifact.sha256:
        yield Damage(artifact.name, None, f"SHA-256 is {digest.hexdigest()}, must be {artifact.sha256}")


def _loaded(
    wanted: Sequence[Chunk], chunks: ChunkStore, threads: ThreadPoolExecutor
) -> Iterator[tuple[Chunk, Future[memoryview]]]:
    waiting: deque[tuple[Chunk, Future[memoryview]]] = deque()
    ahead = 0
    for chunk in wanted:
        waiting.append((chunk, threads.submit(chunks.load, chunk)))
        ahead += chunk.size
        while ahead > _AHEAD:
            ahead -= waiting[0][0].size
            yield waiting.popleft()
    yield from waiting


def record_check(backend: Backend, backup_id: str, check: CheckRecord) -> None:
    """Keep a result. Two results of one check in the same microsecond are kept both, in the order they came in."""
    name = checked_check_name(check.name)
    while True:
        time = _after_the_others(backend, backup_id, check.time.astimezone(UTC))
        data = check.model_copy(update={"time": time}).model_dump_json().encode()
        with contextlib.suppress(ObjectExists):  # somebody else's, of this microsecond
            backend.put(f"{_folder(backup_id)}{time.strftime(_TIME)}-{name}.json", data, if_absent=True)
            backend.barrier()
            return


def _after_the_others(backend: Backend, backup_id: str, time: datetime) -> datetime:
    """The time, or the one after the newest result's: what was found last counts, also where a clock was set back."""
    keys = [_RECORD.fullmatch(info.key) for info in backend.list(_folder(backup_id))]
    times = [found for key in keys if key and (found := _time_of(key))]
    return max(times) + timedelta(microseconds=1) if times and max(times) >= time else time


def read_checks(backend: Backend, backup_id: str) -> list[CheckRecord]:
    """Every result kept for a backup, oldest first; one that cannot be read counts as failed."""
    return read_records(backend, backend.list(_folder(backup_id)))


def read_records(backend: Backend, listed: Iterable[ObjectInfo]) -> list[CheckRecord]:
    """The results among listed objects, oldest first; what is no record of a check is left alone."""
    found = [_read_check(backend, info, match) for info in listed if (match := _RECORD.fullmatch(info.key))]
    return sorted((check for check in found if check), key=lambda check: check.time)


def list_records(backend: Backend) -> dict[str, dict[str, ObjectInfo]]:
    """The records of every backup at one glance, by backup and key; nothing is read."""
    found: dict[str, dict[str, ObjectInfo]] = {}
    for info in backend.list(_FOLDER):
        if match := _RECORD.fullmatch(info.key):
            found.setdefault(match["backup"], {})[info.key] = info
    return found


def check_of(key: str) -> str:
    """The name of the check a record's key belongs to."""
    match = _RECORD.fullmatch(key)
    return match["name"] if match else ""


def failed_checks(checks: Sequence[CheckRecord]) -> list[CheckRecord]:
    """The checks whose newest result is a failure."""
    return [check for check in newest_checks(checks) if not check.passed]


def newest_checks(checks: Sequence[CheckRecord]) -> list[CheckRecord]:
    """The newest result of each check, in the order of their first results."""
    return list({check.name: check for check in sorted(checks, key=lambda check: check.time)}.values())


def _read_check(backend: Backend, info: ObjectInfo, match: re.Match[str]) -> CheckRecord | None:
    try:
        return CheckRecord.model_validate_json(backend.get(info.key, limit=_LARGEST_RECORD).data)
    except ObjectNotFound:
        return None  # removed a moment ago
    except ObjectUnreadable as error:
        why = error.what
    except ValidationError as error:
        why = error.errors()[0]["msg"]
    time = _time_of(match) or info.modified
    detail = f"its record {info.key} cannot be read ({why})"
    return CheckRecord(name=match["name"], passed=False, detail=detail, time=time, unreadable=info.key)


def _time_of(key: re.Match[str]) -> datetime | None:
    """The time in a record's key; ``None`` where its digits are no date, or one so late that nothing can follow."""
    try:
        time = datetime.strptime(key["time"], _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
    return time if time.year < MAXYEAR else None


def _folder(backup_id: str) -> str:
    return f"{_FOLDER}{backup_id}/"
