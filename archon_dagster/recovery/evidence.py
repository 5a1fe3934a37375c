"""Keep what is there before anything is touched: a restart destroys it.

Logs, what each service answers, what the runtime knows of it, resource use, the host's memory and disks. Everything is
asked at once and within a time; what does not come is named. Sizes are bounded and secrets masked, because evidence is
read by many and mailed around.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from archon_dagster.asking import ask_all
from archon_dagster.platform import whole_files
from archon_dagster.platform.probes import probe
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.services import BY_NAME, Service
from archon_dagster.platform.settings import Settings
from archon_dagster.recovery.findings import Findings
from archon_dagster.recovery.masking import Mask

LIMIT = 8.0  # seconds for everything
PROBE = 2.0  # seconds for one answer
LOG_LINES = 400
LARGEST = 256 << 10  # bytes of one file; of a log the end is kept


@dataclass(frozen=True, slots=True)
class Captured:
    """What was kept, and what could not be had, with the reason."""

    files: tuple[str, ...]
    missing: Mapping[str, str]

    def __str__(self) -> str:
        text = f"{len(self.files)} files"
        return f"{text}; not to be had: {', '.join(sorted(self.missing))}" if self.missing else text


def capture(
    settings: Settings,
    runtime: Runtime,
    services: Iterable[str],
    findings: Findings,
    directory: Path,
    limit: float = LIMIT,
) -> Captured:
    """Write the evidence into a directory; never fails for something that does not answer."""
    chosen = list(dict.fromkeys(services))
    have = set(runtime.services())
    questions: dict[str, Callable[[], object]] = {
        f"logs/{name}.log": lambda name=name: runtime.logs(name, LOG_LINES)  # type: ignore[misc]
        for name in chosen
        if name in have
    }
    questions |= {
        f"probes/{name}.json": lambda name=name: asdict(probe(_brief(name), settings))  # type: ignore[misc]
        for name in chosen
    }
    questions |= {
        "status.json": lambda: [asdict(one) for one in runtime.status()],
        "stats.json": lambda: [asdict(one) for one in runtime.stats()],
        "programs.json": runtime.image_digests,
        "host.json": lambda: _host(settings.home),
        "findings.json": lambda: _plain(findings),
    }
    mask, files, missing = Mask.of(settings), list[str](), dict[str, str]()
    for name, answer in ask_all(questions, limit).items():
        if isinstance(answer, Exception):
            missing[name] = mask(f"{type(answer).__name__}: {answer}".splitlines()[0])
            continue
        text = answer if isinstance(answer, str) else json.dumps(answer, indent=1, default=str)
        whole_files.replace(directory / name, mask(_end_of(text)).encode(errors="replace")[-LARGEST:])
        files.append(name)
    if missing:
        whole_files.replace(directory / "missing.json", json.dumps(missing, indent=1).encode())
    return Captured(tuple(files), missing)


def _brief(name: str) -> Service:
    """The service with a shorter probe: that something hangs is known already."""
    service = BY_NAME[name]
    return replace(service, probe=replace(service.probe, timeout=min(PROBE, service.probe.timeout)))


def _end_of(text: str) -> str:
    """The end of a text; a line that would be cut is left out, for half a secret is not recognised."""
    if len(text) <= LARGEST:
        return text
    cut = text[-LARGEST:]
    return cut.partition("\n")[2] or cut


def _host(home: Path) -> dict[str, Any]:
    """Memory, load and the disk of the home: a full one explains much."""
    disk, memory = shutil.disk_usage(home), psutil.virtual_memory()
    return {
        "load": psutil.getloadavg(),
        "processors": psutil.cpu_count(),
        "memory": {"total": memory.total, "available": memory.available},
        "disk of the home": {"total": disk.total, "free": disk.free},
    }


def _plain(findings: Findings) -> dict[str, Any]:
    found = asdict(findings)
    return {key: sorted(value) if isinstance(value, frozenset) else value for key, value in found.items()}


def directory_of(root: Path, now: datetime) -> Path:
    """A directory for evidence captured now; an incident that begins again keeps the older one too."""
    return root / f"{now:%Y%m%dT%H%M%SZ}"
