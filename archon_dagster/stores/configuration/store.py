"""The configuration store's verbs; what they do is in the modules beside this one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from archon_dagster.errors import DamagedBackup, StoreError
from archon_dagster.repository.manifest import Artifact, Fingerprint
from archon_dagster.stores.base import Description, Progress, Sink, Source, StoreName, Verdict, Work
from archon_dagster.stores.configuration.files import Entry, Inventory, contents, scan
from archon_dagster.stores.configuration.redaction import Redacted
from archon_dagster.stores.configuration.restoring import put_back
from archon_dagster.stores.configuration.tarring import read_tar, write_tar

ARTIFACT, KIND = "platform/configuration", "configuration"


class ConfigurationStore:
    """The configuration files in a platform's project directory."""

    name: StoreName = "configuration"

    def __init__(self, project_dir: Path):
        self.project = project_dir

    def describe(self) -> Description:
        found = scan(self.project)
        sizes = [(self.project / entry.path).lstat().st_size for entry in found.entries]
        return Description(
            store="configuration",
            version="files",
            address=str(self.project),
            counts={"files": len(found.entries)},
            size_bytes=sum(sizes),
            details={"files": [entry.path for entry in found.entries], "left_out": dict(found.left_out)},
        )

    def fingerprint(self, work: Work) -> Fingerprint:
        inventory = Inventory()
        for entry, redacted in contents(self.project, scan(self.project).entries):
            work.check()
            inventory.add(entry, redacted)
        return inventory.fingerprint

    def export(self, sink: Sink, work: Work) -> None:
        found, inventory, withheld = scan(self.project), Inventory(), list[str]()
        with sink.artifact("configuration", ARTIFACT, KIND, media_type="application/x-tar", cut="whole") as writer:
            write_tar(writer, self._recorded(found.entries, inventory, withheld, work))
            writer.counts, writer.fingerprint = {"files": inventory.count}, inventory.fingerprint
            writer.details = {"withheld": withheld}
        work.captured()
        for name in withheld:
            sink.not_covered("configuration", f"the value of {name}: secrets are not stored without encryption")
        for path, reason in found.left_out:
            sink.not_covered("configuration", f"{path}: {reason}")
        if not self.project.is_dir():
            sink.not_covered("configuration", f"the project directory {self.project} does not exist")

    def verify(self, source: Source, work: Work) -> Iterable[Verdict]:
        for artifact in source.artifacts(self.name):
            try:
                count = self._check(source, artifact, work)
            except DamagedBackup as error:
                yield Verdict(artifact.name, "damaged", error.what)
            else:
                yield Verdict(artifact.name, "verified", f"{count} files, every digest as written", {"files": count})

    def preflight(self, source: Source, work: Work) -> None:
        """Files go everywhere."""

    def restore(self, source: Source, work: Work) -> None:
        artifacts = source.artifacts(self.name)
        if not artifacts:
            raise StoreError(
                f"backup {source.backup_id} holds no configuration",
                where=str(self.project),
                todo="restore another backup; nothing was touched",
            )
        for artifact in artifacts:
            count = self._check(source, artifact, work)
            with source.open(artifact) as reader:
                put_back(self.project, read_tar(reader, _where(source, artifact)), work)
            work.report(Progress("configuration", "restore", count, count, "files"))

    def _recorded(
        self, entries: tuple[Entry, ...], inventory: Inventory, withheld: list[str], work: Work
    ) -> Iterator[tuple[Entry, Redacted | None]]:
        """The contents on their way into the tar, noted as they pass."""
        for entry, redacted in contents(self.project, entries):
            work.check()
            inventory.add(entry, redacted)
            withheld += [f"{name} in {entry.path}" for name in dict.fromkeys(redacted.names if redacted else ())]
            yield entry, redacted

    def _check(self, source: Source, artifact: Artifact, work: Work) -> int:
        """Read the whole artifact and compare it with the manifest; returns the number of files."""
        inventory = Inventory()
        with source.open(artifact) as reader:
            for entry, content in read_tar(reader, _where(source, artifact)):
                work.check()
                inventory.add(entry, None if content is None else Redacted(content))
        expected = artifact.fingerprint
        different = expected.differences(inventory.fingerprint) if expected else ["the manifest has no fingerprint"]
        if different:
            raise DamagedBackup(
                f"{artifact.name} does not hold what its manifest says: {'; '.join(different[:10])}",
                where=_where(source, artifact),
                todo="restore another backup; nothing was touched",
            )
        return inventory.count


def _where(source: Source, artifact: Artifact) -> str:
    return f"backup {source.backup_id}, {artifact.name}"
