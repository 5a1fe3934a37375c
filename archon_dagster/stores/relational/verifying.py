"""Say of an artifact, without the server that made it, whether it could be restored."""

from __future__ import annotations

from collections.abc import Iterable

from archon_dagster.errors import DamagedBackup, StoreError, StoreUnavailable
from archon_dagster.repository.manifest import Artifact
from archon_dagster.stores.base import Source, Verdict, Work
from archon_dagster.stores.relational.export import DUMP_KIND, TABLE_KIND
from archon_dagster.stores.relational.programs import Programs, major_version
from archon_dagster.stores.relational.restoring import read_archive
from archon_dagster.stores.relational.roles import read_globals
from archon_dagster.stores.relational.running import first_line, output_of

_TOO_NEW = "unsupported version"


def verify_artifact(readers: Iterable[Programs], source: Source, artifact: Artifact, work: Work) -> Verdict:
    """A dump is read to its end by ``pg_restore`` and its content compared with the manifest's fingerprint."""
    try:
        if artifact.kind in (DUMP_KIND, TABLE_KIND):
            return _verify_dump(readers, source, artifact, work)
        return _globals(source, artifact)
    except DamagedBackup as error:
        return Verdict(artifact.name, "damaged", first_line(error))


def _verify_dump(readers: Iterable[Programs], source: Source, artifact: Artifact, work: Work) -> Verdict:
    reader, reason = _choose(readers, artifact, work)
    if reader is None:
        return Verdict(artifact.name, "not verifiable here", reason)
    try:
        content = read_archive(reader, source, artifact, work)
    except StoreUnavailable:
        raise
    except StoreError as error:
        if _TOO_NEW in str(error):
            return Verdict(artifact.name, "not verifiable here", first_line(error))
        return Verdict(artifact.name, "damaged", first_line(error))
    if artifact.fingerprint is None:
        return Verdict(artifact.name, "damaged", "the manifest has no fingerprint of it")
    different = artifact.fingerprint.differences(content.fingerprint)
    if different:
        return Verdict(artifact.name, "damaged", "; ".join(different[:10]), content.counts)
    return Verdict(artifact.name, "verified", f"{reason} read all {len(content.counts)} tables", content.counts)


def _globals(source: Source, artifact: Artifact) -> Verdict:
    with source.open(artifact) as reader:
        roles = read_globals(reader.read().splitlines(keepends=True)).roles
    if list(roles) != list(artifact.details.get("roles", [])):
        return Verdict(artifact.name, "damaged", f"{len(roles)} roles, the manifest names others")
    return Verdict(artifact.name, "verified", f"{len(roles)} roles", {"roles": len(roles)})


def _choose(readers: Iterable[Programs], artifact: Artifact, work: Work) -> tuple[Programs | None, str]:
    """The first that is new enough, with its name; else nobody, and why."""
    wanted = major_version(str(artifact.details.get("dump_version", "")))
    reasons: list[str] = []
    for programs in readers:
        try:
            version = output_of(programs, work, "pg_restore", "--version").decode().strip()
        except StoreError as error:
            reasons.append(first_line(error))
            continue
        if major_version(version) >= wanted:
            return programs, version
        reasons.append(f"{version} cannot read what pg_dump {artifact.details['dump_version']} wrote")
    return None, "; ".join(reasons)
