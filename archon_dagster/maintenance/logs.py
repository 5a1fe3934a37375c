"""Keep logs short without losing a line, and without the writer's help.

A writer appends to the file it has open: renaming it changes nothing, and emptying it loses what was written meanwhile.
So the beginning is copied, compressed, and brought to the disk; then the blocks of just that part are given back to the
file system (a hole), which touches nothing behind it. Where the file system cannot do that, the log is left as it is.
"""

from __future__ import annotations

import ctypes
import errno
import gzip
import os
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

from archon_dagster.maintenance.step import Done, MaintenanceContext
from archon_dagster.platform.runtime.compose_engine import containers, engine

_KEEP_SIZE, _PUNCH_HOLE = 0x01, 0x02  # linux/falloc.h
_BLOCK = 4096
_PIECE = 1 << 20


def rotate(context: MaintenanceContext) -> Done:
    """The services' logs where they are files here, and the control plane's own."""
    operation, settings = context.operation, context.operation.settings
    ours = [file for file in settings.home.glob("*.log") if file.is_file()]
    services = _of_processes(settings.home) if operation.runtime.kind == "processes" else []
    done = []
    for file in (*services, *ours):
        operation.check()
        if held(file) > settings.maintenance_log_bytes:
            archive = set_aside(file, settings.maintenance_logs_kept)
            done.append(f"{file.relative_to(settings.home)} -> {archive.name}" if archive else f"{file}: left alone: "
                        "this file system cannot give back the beginning of a file")  # fmt: skip
    unbounded = _unbounded(context) if operation.runtime.kind == "compose" else []
    done += [f"{name}: its log has no limit; set logging.options.max-size in the compose file" for name in unbounded]
    if not done:
        return Done(f"no log is longer than {settings.maintenance_log_bytes:,} bytes", idle=True)
    return Done(f"{len(done)} logs", tuple(done))


def _of_processes(home: Path) -> list[Path]:
    """The log of each service, and of each replica of those that run more than once."""
    return sorted([*home.glob("services/*/log"), *home.glob("services/*/replicas/*/log")])


def held(file: Path) -> int:
    """Bytes that a log occupies on the disk; holes do not count."""
    return file.stat().st_blocks * 512


def set_aside(file: Path, kept: int) -> Path | None:
    """Move what is in a log into a compressed file beside it; ``None`` where the file system cannot.

    Killed in between, the same lines are in the archive and in the log: none is lost.
    """
    descriptor = os.open(file, os.O_RDWR)
    try:
        end = os.fstat(descriptor).st_size // _BLOCK * _BLOCK  # whole blocks; what comes after is not touched
        begin = _first_data(descriptor)
        if end <= begin:
            return None
        archive = file.with_name(f"{file.name}.{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}.gz")
        _copy(descriptor, begin, end, archive)
        if not _give_back(descriptor, begin, end - begin):
            archive.unlink()
            return None
    finally:
        os.close(descriptor)
    for old in sorted(file.parent.glob(f"{file.name}.*.gz"))[:-kept]:
        old.unlink(missing_ok=True)
    return archive


def _first_data(descriptor: int) -> int:
    try:
        return os.lseek(descriptor, 0, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing but holes
            return os.fstat(descriptor).st_size
        raise


def _copy(descriptor: int, begin: int, end: int, archive: Path) -> None:
    temporary = archive.with_suffix(".part")
    try:
        with temporary.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb") as packed:
            for place in range(begin, end, _PIECE):
                packed.write(os.pread(descriptor, min(_PIECE, end - place), place))
            packed.close()
            raw.flush()
            os.fsync(raw.fileno())
        shutil.copymode(f"/proc/self/fd/{descriptor}" if Path("/proc/self/fd").exists() else archive.parent, temporary)
        temporary.replace(archive)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _give_back(descriptor: int, begin: int, length: int) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    call = ctypes.CDLL(None, use_errno=True).fallocate
    call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong)
    if call(descriptor, _KEEP_SIZE | _PUNCH_HOLE, begin, length) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EOPNOTSUPP, errno.ENOSYS):
        return False
    raise OSError(number, os.strerror(number))


def _unbounded(context: MaintenanceContext) -> list[str]:
    """Services whose containers the engine lets write logs without an end."""
    found = []
    with engine("the logs could not be looked at") as client:
        for one in containers(client, context.operation.settings.compose_project):
            kept = one.attrs.get("HostConfig", {}).get("LogConfig", {})
            if kept.get("Type") == "json-file" and "max-size" not in (kept.get("Config") or {}):
                found.append(str(one.name))
    return found
