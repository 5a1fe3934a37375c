"""The larger recordings of real servers, unpacked when a test first asks for them; see ``data/README.md``."""

from __future__ import annotations

import atexit
import shutil
import tarfile
import tempfile
from functools import cache
from pathlib import Path

import zstandard

DATA = Path(__file__).parent / "data"
_WINDOW = 1 << 27  # bytes: the snapshots of one collection refer to each other across all of the archive


@cache
def larger() -> Path:
    """The folder with all of them, laid out as ``data`` is; it goes with the process."""
    folder = Path(tempfile.mkdtemp(prefix="archon-recorded-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    unpacking = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
    with (
        (DATA / "larger.tar.zst").open("rb") as packed,
        unpacking.stream_reader(packed) as stream,
        tarfile.open(fileobj=stream, mode="r|") as archive,
    ):
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Debian's Python 3.11 is older than it
        archive.extractall(folder)
    return folder
