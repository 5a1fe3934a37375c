"""The relational store's verbs; what they do is in the modules beside this one."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from archon_dagster.errors import StoreError
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.settings import Settings
from archon_dagster.repository.manifest import Artifact, Fingerprint
from archon_dagster.stores.base import Description, Sink, Source, StoreName, Verdict, Work
from archon_dagster.stores.relational.describing import describe
from archon_dagster.stores.relational.export import (
    DUMP_KIND,
    GLOBALS_KIND,
    export_database,
    export_globals,
    live_content,
)
from archon_dagster.stores.relational.programs import LocalPrograms, Programs, ServicePrograms
from archon_dagster.stores.relational.restoring import Restoring
from archon_dagster.stores.relational.verifying import verify_artifact

if TYPE_CHECKING:
    from archon_dagster.stores.relational.part import TableStore

_AT_A_GLANCE = 120.0  # seconds; counting is work, and a frozen server is found out much sooner


class RelationalStore:
    """One PostgreSQL database and the roles of its server.

    :param programs: where PostgreSQL's programs run.
    :param database: the database; :param user: the role that reads and restores it.
    """

    name: StoreName = "relational"

    def __init__(self, programs: Programs, database: str, user: str):
        self.programs, self.database, self.user = programs, database, user

    def describe(self) -> Description:
        work = Work(scratch=Path("/nonexistent"), deadline=_AT_A_GLANCE)
        return describe(self.programs, work, self.database)

    def fingerprint(self, work: Work) -> Fingerprint:
        return live_content(self.programs, work, self.database).fingerprint

    def export(self, sink: Sink, work: Work) -> None:
        export_globals(self.programs, sink, work, self.database)
        export_database(self.programs, sink, work, self.database)

    def verify(self, source: Source, work: Work) -> Iterable[Verdict]:
        for artifact in source.artifacts(self.name):
            yield verify_artifact(self._readers, source, artifact, work)

    def preflight(self, source: Source, work: Work) -> None:
        """Whether the client programs and the server are new enough for the archive."""
        Restoring(self.programs, source, work, self.database).check_versions(self._dump(source))

    def restore(self, source: Source, work: Work) -> None:
        globals_ = self._of(source, GLOBALS_KIND)
        Restoring(self.programs, source, work, self.database).run(self._dump(source), globals_)

    def part(self, name: str, new_name: str = "") -> TableStore:
        """One table of it; see :mod:`~archon_dagster.stores.relational.part`."""
        from archon_dagster.stores.relational.part import TableStore

        return TableStore(self, name, new_name)

    def _dump(self, source: Source) -> Artifact:
        dump = self._of(source, DUMP_KIND)
        if dump is None:
            raise StoreError(
                f"backup {source.backup_id} holds no database dump",
                where=self.programs.address,
                todo="restore another backup; nothing was touched",
            )
        return dump

    def _of(self, source: Source, kind: str) -> Artifact | None:
        return next((artifact for artifact in source.artifacts(self.name) if artifact.kind == kind), None)

    @cached_property
    def _readers(self) -> tuple[Programs, ...]:
        """Who could read an archive: this machine's programs need no server, the service's need it running."""
        return (LocalPrograms(), self.programs)


def open_relational(settings: Settings, runtime: Runtime) -> RelationalStore:
    """The store the settings describe: over ``POSTGRES_DSN`` where it is set, else in the service of the platform."""
    if settings.postgres_dsn is not None:
        local = LocalPrograms(settings.postgres_dsn.get_secret_value())
        return RelationalStore(local, local.database or settings.postgres_db, local.user or settings.postgres_user)
    environment = {"PGUSER": settings.postgres_user}
    if settings.postgres_password is not None:
        environment["PGPASSWORD"] = settings.postgres_password.get_secret_value()
    return RelationalStore(ServicePrograms(runtime, environment), settings.postgres_db, settings.postgres_user)
