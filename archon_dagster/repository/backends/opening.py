"""From the address in the settings to a backend."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from archon_dagster.errors import ConfigurationError
from archon_dagster.repository.backends.base import Backend
from archon_dagster.repository.backends.filesystem import FilesystemBackend
from archon_dagster.repository.backends.filesystem_errors import explained


def open_backend(url: str, *, create: bool = False) -> Backend:
    """The backend behind ``url``: a path, or a ``file://`` or ``s3://bucket/prefix`` address.

    :param create: make the directory where it is missing; a bucket is never made here, because its region, encryption
        and retention are decisions.
    """
    if urlsplit(url).scheme == "s3":
        from archon_dagster.repository.backends.s3.backend import open_s3  # boto3 is slow to import

        return open_s3(url)
    root = _local_path(url)
    with explained("open", root):
        if create and not root.exists():
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            backend = FilesystemBackend(root.parent)
            backend.barrier([f"{root.name}/x"])  # the new directory's own entry
        return FilesystemBackend(root.resolve())


def _local_path(url: str) -> Path:
    parts = urlsplit(url)
    if len(parts.scheme) <= 1:  # a plain path (one letter would be a drive)
        return Path(url).expanduser().absolute()
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(unquote(parts.path))
    raise ConfigurationError(
        f"a repository cannot be at {parts.scheme}://…",
        where="ARCHON_REPOSITORY",
        todo="give a directory (a path or file:///path) or s3://bucket/prefix",
    )
