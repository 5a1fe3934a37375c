"""A PostgreSQL server of its own for the relational tests: they make, break and drop databases and roles."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from archon_dagster.platform.runtime.process_exec import ProcessExec
from archon_dagster.platform.runtime.process_spec import ProcessSpec
from archon_dagster.sandbox import postgres
from archon_dagster.sandbox.ports import LOOPBACK

PASSWORD = "only-for-tests"


@dataclass(frozen=True)
class Server:
    """A running server; stands for a runtime as far as ``exec`` is concerned."""

    spec: ProcessSpec
    port: int

    def exec(self, service: str, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> ProcessExec:
        assert service == "postgres"
        environment = self.spec.environment() | self.spec.exec_env | dict(env or {})
        return ProcessExec(service, command, environment, Path("/"))

    def sql(self, script: str, database: str = "postgres") -> list[str]:
        """Run a script; returns the lines of its answers."""
        command = ["psql", "-qXAt", "-v", "ON_ERROR_STOP=1", "-d", database]
        with self.exec("postgres", command) as psql:
            psql.stdin.write(script.encode())
            psql.stdin.close()
            lines = psql.stdout.read().decode().splitlines()
            assert psql.wait(60) == 0, psql.stderr_tail()
        return lines

    @property
    def dsn(self) -> str:
        return f"postgresql://{postgres.USER}:{PASSWORD}@{LOOPBACK}:{self.port}"


@contextmanager
def running_server(home: Path, port: int) -> Iterator[Server]:
    """A fresh server, ended with the context."""
    data = home / "postgres" / "data"
    way = postgres.unprivileged(data)
    postgres.initialise(data, PASSWORD, way)
    server = Server(postgres.spec(data, port, PASSWORD, way), port)
    uid, gid = way.user or (None, None)
    with (home / "postgres.log").open("wb") as log:
        process = subprocess.Popen(
            [*server.spec.command, "-c", "fsync=off"], cwd=data, stdout=log, stderr=log, user=uid, group=gid,
            extra_groups=None if uid is None else [], env=os.environ | {"LC_ALL": "C"},
        )  # fmt: skip
        try:
            _wait_until_ready(server, process)
            yield server
        finally:
            process.send_signal(server.spec.stop_signal)
            process.wait(30)


def _wait_until_ready(server: Server, process: subprocess.Popen[bytes]) -> None:
    with server.exec("postgres", ["sh", "-c", "until pg_isready -q; do sleep 0.05; done"]) as ready:
        assert ready.wait(30) == 0, ready.stderr_tail()
    assert process.poll() is None, "the server ended"
