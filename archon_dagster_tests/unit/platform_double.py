"""A whole small platform in a folder, for the logic of backup and restore.

The stores are real ones, only simpler than a database: a folder of files each, with the same verbs. Faults are put in
at the seam made for them: ``store.fault`` is called with the verb before it works.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from archon_dagster.context import OperationContext
from archon_dagster.errors import StoreUnavailable
from archon_dagster.platform.runtime.protocol import Exec, ServiceStats, ServiceStatus, State
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.repository.manifest import Fingerprint
from archon_dagster.repository.repository import Repository
from archon_dagster.stores.base import STORES, Description, Sink, Source, StoreName, Verdict, Work
from archon_dagster.stores.digest import Multiset


class FolderStore:
    """A store whose records are the files of one folder."""

    def __init__(self, name: StoreName, folder: Path):
        self.name, self.folder = name, folder
        self.fault: Callable[[str], None] = lambda verb: None
        folder.mkdir(parents=True)

    def put(self, record: str, text: str) -> None:
        (self.folder / record).write_text(text)

    def records(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.folder.iterdir())}

    def describe(self) -> Description:
        self.fault("describe")
        return Description(self.name, "folder 1", str(self.folder), {"records": len(self.records())})

    def fingerprint(self, work: Work) -> Fingerprint:
        self.fault("fingerprint")
        return fingerprint_of(self.name, self.records())

    def export(self, sink: Sink, work: Work) -> None:
        self.fault("export")
        records = self.records()
        work.captured()
        self.fault("copy")
        with sink.artifact(self.name, f"folder/{self.name}", "records", media_type="text/plain", cut="whole") as out:
            for record, data in records.items():
                work.check()
                with work.timing("copying"):
                    out.write(f"{record}\0{data.decode()}\n".encode())
            out.counts = {"records": len(records)}
            out.fingerprint = fingerprint_of(self.name, records)

    def verify(self, source: Source, work: Work) -> Iterable[Verdict]:
        self.fault("verify")
        for artifact in source.artifacts(self.name):
            with source.open(artifact) as stream:
                found = fingerprint_of(self.name, _parse(stream.read()))
            state: Literal["verified", "damaged"] = "verified" if found == artifact.fingerprint else "damaged"
            yield Verdict(artifact.name, state, "read", artifact.counts)

    def preflight(self, source: Source, work: Work) -> None:
        self.fault("preflight")

    def restore(self, source: Source, work: Work) -> None:
        for artifact in source.artifacts(self.name):
            with source.open(artifact) as stream:
                records = _parse(stream.read())
            shutil.rmtree(self.folder)
            self.folder.mkdir()
            self.fault("restore")  # the worst moment: the old data are gone, the new ones not there yet
            for record, data in records.items():
                (self.folder / record).write_bytes(data)
        self.fault("restored")


def fingerprint_of(name: str, records: Mapping[str, bytes]) -> Fingerprint:
    content = Multiset()
    for record, data in records.items():
        content.add(record.encode() + b"\0" + hashlib.sha256(data).digest())
    return Fingerprint(parts={f"{name}/records": content.part()})


def _parse(data: bytes) -> dict[str, bytes]:
    lines = [line.split(b"\0", 1) for line in data.split(b"\n") if line]
    return {name.decode(): text for name, text in lines}


class SwitchRuntime:
    """A runtime whose services are switches; it remembers what was done to them, in order."""

    kind: Literal["processes"] = "processes"

    def __init__(self, running: Sequence[str] = ("qdrant", "memgraph", "postgres", "archon-search")):
        self.states: dict[str, State] = dict.fromkeys(running, "running")
        self.done: list[tuple[str, tuple[str, ...]]] = []
        self.lock = threading.Lock()

    def _set(self, verb: str, names: Sequence[str], state: State) -> None:
        with self.lock:
            self.done.append((verb, tuple(names)))
            self.states |= dict.fromkeys(names, state)

    def services(self) -> tuple[str, ...]:
        return tuple(self.states)

    def up(self, *services: str) -> None:
        self._set("up", services, "running")

    def stop(self, *services: str) -> None:
        self._set("stop", services, "exited")

    def pause(self, *services: str) -> None:
        self._set("pause", services, "paused")

    def unpause(self, *services: str) -> None:
        self._set("unpause", services, "running")

    def restart(self, *services: str) -> None:
        self._set("restart", services, "running")

    def recreate(self, *services: str) -> None:
        self._set("recreate", services, "running")

    def down(self) -> None:
        self._set("down", self.services(), "absent")

    def pull(self, *services: str) -> None: ...
    def build(self, *services: str) -> None: ...
    def scale(self, service: str, replicas: int) -> None: ...

    def exec(self, service: str, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> Exec:
        raise NotImplementedError

    def logs(self, service: str, lines: int = 50) -> str:
        return ""

    def status(self) -> list[ServiceStatus]:
        return [ServiceStatus(name, state) for name, state in self.states.items()]

    def stats(self) -> list[ServiceStats]:
        return []

    def image_digests(self) -> dict[str, str]:
        return {"qdrant": "folder 1"}


class Platform:
    """The small platform, filled, with its repository."""

    def __init__(self, home: Path):
        self.settings: Settings = load_settings(ARCHON_HOME=home, ARCHON_RUNTIME="processes")
        self.runtime = SwitchRuntime()
        self.stores = {name: FolderStore(name, home / "live" / name) for name in STORES}
        self.repository = Repository.open(self.settings.repository, create=True)
        self.context = OperationContext(self.settings, self.runtime, dict(self.stores), self.repository)
        for name, store in self.stores.items():
            for number in range(10):
                store.put(f"{number}", f"{name} {number}")

    def live(self) -> dict[str, dict[str, bytes]]:
        return {name: store.records() for name, store in self.stores.items()}


def failing(*verbs: str) -> Callable[[str], None]:
    """A fault: the store stops answering at these verbs."""

    def fault(verb: str) -> None:
        if verb in verbs:
            raise StoreUnavailable(f"injected: no answer at {verb}")

    return fault
