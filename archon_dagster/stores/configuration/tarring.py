"""The artifact: a tar that is the same for the same files, and its careful reading.

Members are in the order of their paths, with a fixed time and no owner. A member that does not belong to a
configuration (an absolute path, ``..``, a link that leads out, a file below a link) makes the whole tar refused.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import IO, Any, cast

from archon_dagster.errors import DamagedBackup
from archon_dagster.stores.base import ArtifactReader, ArtifactWriter
from archon_dagster.stores.configuration.files import LARGEST, Entry, is_covered, leads_out
from archon_dagster.stores.configuration.redaction import Redacted


def write_tar(writer: ArtifactWriter, contents: Iterable[tuple[Entry, Redacted | None]]) -> None:
    """Write entries, already in order, as they come."""
    with tarfile.open(fileobj=cast("IO[bytes]", writer), mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for entry, redacted in contents:
            member = tarfile.TarInfo(entry.path)
            member.mode = entry.mode
            if redacted is None:
                member.type, member.linkname = tarfile.SYMTYPE, entry.link
                tar.addfile(member)
            else:
                member.size = len(redacted.content)
                tar.addfile(member, io.BytesIO(redacted.content))


def read_tar(reader: ArtifactReader, where: str) -> Iterator[tuple[Entry, bytes | None]]:
    """The entries of a tar, one at a time, with their content (``None`` for a link).

    :param where: what is being read, for messages. Raises :class:`DamagedBackup` where it is not what it must be.
    """
    links: set[str] = set()
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", reader), mode="r|") as tar:
            for member in tar:
                entry = _checked(member, links, where)
                if entry.link:
                    links.add(entry.path)
                    yield entry, None
                else:
                    yield entry, _content(tar, member, where)
        # the end of the tar has been read, but not yet what may follow it
        while reader.read(1 << 16):
            pass
    except (tarfile.TarError, EOFError) as error:
        raise DamagedBackup(f"the configuration cannot be read: {error}", where=where) from error


def _checked(member: tarfile.TarInfo, links: set[str], where: str) -> Entry:
    path = member.name
    parents = {str(parent) for parent in PurePosixPath(path).parents}
    if not is_covered(path) or parents & links or path in links:
        raise _refused(path, "its path is not one of a configuration file", where)
    if member.issym():
        if leads_out(path, member.linkname):
            raise _refused(path, f"a link out of the project directory, to {member.linkname}", where)
        return Entry(path, 0o777, member.linkname)
    if not member.isreg():
        raise _refused(path, "neither a file nor a link", where)
    if member.size > LARGEST:
        raise _refused(path, "larger than any file this store writes", where)
    return Entry(path, member.mode & 0o777)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, where: str) -> bytes:
    stream: Any = tar.extractfile(member)
    content: bytes = stream.read()
    if len(content) != member.size:
        raise DamagedBackup(f"{member.name} ends early", where=where)
    return content


def _refused(path: str, why: str, where: str) -> DamagedBackup:
    return DamagedBackup(
        f"the backup contains {path!r}: {why}",
        where=where,
        todo="do not trust this backup; nothing was written",
    )
