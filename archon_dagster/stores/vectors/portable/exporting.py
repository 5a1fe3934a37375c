"""The portable artifact of one collection, made after its snapshot's.

Where Qdrant's engine has read the snapshot for its fingerprint, the file was written on the way and costs the server
nothing. Else (old servers) the live collection is read by pages, outside the pause of the writers, and kept only if
what was read is what the snapshot holds; if it is not, the server loads its own snapshot under a scratch name and that
is read. What cannot be had either way is not stored, and the manifest says why.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from typing import Any

from archon_dagster.errors import Cancelled, StoreError, StoreUnavailable
from archon_dagster.repository.manifest import Fingerprint, Part
from archon_dagster.stores.base import Sink, Work
from archon_dagster.stores.vectors import engine, fingerprint, loading, strict
from archon_dagster.stores.vectors.client import Client, ServerSnapshot
from archon_dagster.stores.vectors.download import Copied
from archon_dagster.stores.vectors.fingerprint import PointDigest, dense_vectors
from archon_dagster.stores.vectors.loading import Candidate
from archon_dagster.stores.vectors.portable.keeping import Keep
from archon_dagster.stores.vectors.portable.layout import KIND, MEDIA_TYPE, About, artifact_name
from archon_dagster.stores.vectors.portable.writing import PortableWriter, row_groups
from archon_dagster.stores.vectors.reading import Points

PAGE = 8 << 20  # bytes of JSON a page should have
FIRST_PAGE = 16  # points: only the points themselves say how large they are
LARGEST_PAGE = 2000
LOADED = 4 << 30  # bytes of a snapshot that a server may be asked to hold a second time, for a moment


class NoCopy(Exception):
    """There is no portable copy; the message says why."""


def keep_beside(
    client: Client, sink: Sink, copied: Copied, aliases: Mapping[str, str], snapshot: ServerSnapshot, work: Work
) -> Keep | None:
    """What the engine is to write while it reads the snapshot; nothing where scratch has no room for it."""
    free, need = shutil.disk_usage(work.scratch).free, 2 * engine.unpacked_size(snapshot.size)
    if free < need:
        why = f"it may need {need >> 20} MiB of scratch, there are {free >> 20} MiB"
        sink.not_covered("vectors", f"no portable copy of collection {snapshot.collection}: {why}")
        return None
    contents, version = copied.contents, str(client.version)
    about = About.of(snapshot.collection, version, contents.config, contents.indexes, aliases)
    return Keep(work.scratch / "export.parquet", about, snapshot.size)


def store(
    client: Client, sink: Sink, work: Work, keep: Keep, copied: Copied, snapshot: Points, name: str, cleanup: float,
    on_read: Callable[[int], None],
) -> None:  # fmt: skip
    """Write the artifact, or say in the manifest why there is none.

    :param snapshot: the points of the snapshot, and whether the engine has written the file while it read them.
    :param name: of the snapshot's artifact.
    """
    try:
        source, part = "snapshot", snapshot.part
        if snapshot.kept:
            raise NoCopy(snapshot.kept)
        if snapshot.kept is None:
            source, part = _from_server(client, work, keep, copied, part, cleanup, on_read)
        _artifact(sink, work, keep, part, source, name)
    except NoCopy as error:
        sink.not_covered("vectors", f"no portable copy of collection {keep.about.collection}: {error}")
    finally:
        keep.file.unlink(missing_ok=True)


def _artifact(sink: Sink, work: Work, keep: Keep, part: Part, source: str, name: str) -> None:
    about = keep.about
    with (
        sink.artifact("vectors", artifact_name(name), KIND, media_type=MEDIA_TYPE, cut="written") as writer,
        keep.file.open("rb") as file,
    ):
        for size in row_groups(keep.file):
            work.check()
            writer.write(file.read(size))
        writer.counts = {about.collection: part.count}
        schema = fingerprint.schema_part(about.config, about.indexes)
        writer.fingerprint = Fingerprint(
            parts={f"{about.collection}/points": part, f"{about.collection}/schema": schema}
        )
        writer.details = {
            "collection": about.collection,
            "server_version": about.server_version,
            "source": source,
            "consistent": True,
            "aliases": list(about.aliases),
            "columns": {column.label: column.shape for column in about.columns},
            "lost": lost(about),
        }


def lost(about: About) -> list[str]:
    """What a restore from this artifact does not bring back, readable."""
    found = ["the search index is built anew", "versions of the points"]
    vectors = dense_vectors(about.config).values()
    if any(vector.get("distance") == "Cosine" for vector in vectors):
        found.append("Cosine vectors are normalised, as the server keeps them")
    if types := {str(vector["datatype"]) for vector in vectors if vector.get("datatype") not in (None, "float32")}:
        found.append(f"{', '.join(sorted(types))} vectors have the precision they were kept in")
    return found


def _from_server(
    client: Client, work: Work, keep: Keep, copied: Copied, part: Part, cleanup: float, on_read: Callable[[int], None]
) -> tuple[str, Part]:
    if not part.content_known:
        raise NoCopy("nothing here can tell what its snapshot holds")
    found = _scroll(client, keep.about.collection, keep, work, on_read)
    if _same(part, found):
        return "scroll", found
    found = _loaded(client, work, keep, copied, cleanup, on_read)
    if not _same(part, found):
        raise NoCopy("the server has read other points from its snapshot than it had told before")
    return "snapshot", found


def _same(part: Part, found: Part) -> bool:
    """Whether both are the same points, as far as that is known of the snapshot's."""
    if part.count != found.count:
        return False
    if part.sample_digest is not None and part.sample_digest != found.sample_digest:
        return False
    return part.digest in (found.digest, part.sample_digest)


def _loaded(
    client: Client, work: Work, keep: Keep, copied: Copied, cleanup: float, on_read: Callable[[int], None]
) -> Part:
    """Let the server load its own snapshot under a scratch name, and read that."""
    if copied.file is None:
        raise NoCopy("it was written to meanwhile, and there is no room here for its snapshot")
    if keep.expected > LOADED:
        raise NoCopy("it was written to meanwhile, and its snapshot is too large for the server to load it once more")
    candidate = Candidate(keep.about.collection, copied.file, copied.sha256, copied.contents, None)
    try:
        with loading.under_a_scratch_name(client, candidate, work, cleanup) as name:
            return _scroll(client, name, keep, work, on_read)
    except (Cancelled, StoreUnavailable):
        raise
    except StoreError as error:
        raise NoCopy(f"it was written to meanwhile, and the server cannot load its snapshot: {error.what}") from error


def _scroll(client: Client, collection: str, keep: Keep, work: Work, on_read: Callable[[int], None]) -> Part:
    """Write every point of a live collection, page after page; a page has as many points as go into its bytes."""
    allowed, digest = strict.limits(client.info(collection).get("config") or {}), PointDigest()
    try:
        with PortableWriter(keep.file, keep.about, keep.expected) as writer:
            offset, page, read = None, FIRST_PAGE, 0
            while True:
                points, offset = client.scroll(collection, allowed.cut(page), content=True, offset=offset)
                for point in points:
                    vectors = writer.add(point["id"], point.get("vector"), point.get("payload"))
                    digest.add(point["id"], vectors, point.get("payload"))
                on_read(digest.count)
                if offset is None:
                    break
                read = max(read, _largest(points))
                page = max(1, min(LARGEST_PAGE, PAGE // max(1, read)))
    except (OSError, ValueError) as error:
        raise NoCopy(f"{type(error).__name__}: {error}") from error
    return digest.part()


def _largest(points: list[dict[str, Any]]) -> int:
    """About how many bytes of JSON the largest of these points takes."""
    return max((_bytes(point.get("vector")) + _bytes(point.get("payload")) for point in points), default=1)


def _bytes(value: Any) -> int:
    if isinstance(value, str):
        return len(value) + 3
    if isinstance(value, Mapping):
        return sum(len(key) + 4 + _bytes(one) for key, one in value.items())
    if isinstance(value, list):
        if value and isinstance(value[0], float):
            return 13 * len(value)
        return sum(map(_bytes, value)) + len(value)
    return 12
