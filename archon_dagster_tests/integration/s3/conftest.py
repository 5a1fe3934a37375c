"""S3 servers, started once for all tests, and backends of every kind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from archon_dagster.repository.backends.base import Backend
from archon_dagster.repository.backends.filesystem import FilesystemBackend
from archon_dagster.stores.base import Work
from archon_dagster_tests.integration.s3.faulty_proxy import FaultyProxy
from archon_dagster_tests.integration.s3.servers import KINDS, STRICT, Server, serving


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, Server]]:
    """The servers that were needed so far."""
    started: dict[str, Server] = {}
    with ExitStack() as stack:

        class Lazy(dict[str, Server]):
            def __missing__(self, kind: str) -> Server:
                self[kind] = stack.enter_context(serving(kind))
                return self[kind]

        yield Lazy(started)


@pytest.fixture(autouse=True)
def no_credentials_of_the_developer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, servers: dict[str, Server]) -> Server:
    """Each S3 server in turn."""
    return servers[request.param]


@pytest.fixture
def strict(servers: dict[str, Server]) -> Server:
    """A server that checks signatures and digests: the one that is named, else VersityGW."""
    return servers[STRICT]


@pytest.fixture(params=["filesystem", *KINDS])
def backend(request: pytest.FixtureRequest, servers: dict[str, Server], tmp_path: Path) -> Iterator[Backend]:
    """Each kind of backend in turn, empty."""
    with _empty(request.param, servers, tmp_path) as found:
        yield found


@pytest.fixture(params=["filesystem", *(kind for kind in KINDS if kind != "versitygw")])
def one_step(request: pytest.FixtureRequest, servers: dict[str, Server], tmp_path: Path) -> Iterator[Backend]:
    """Those that compare and write in one step, so that a refused swap has certainly not happened."""
    if request.param == "endpoint" and not servers["endpoint"].swaps_in_one_step:
        pytest.skip("the endpoint that is named is a VersityGW, which compares and writes in two steps")
    with _empty(request.param, servers, tmp_path) as found:
        yield found


@contextmanager
def _empty(kind: str, servers: dict[str, Server], folder: Path) -> Iterator[Backend]:
    if kind == "filesystem":
        (folder / "backend").mkdir()
        yield FilesystemBackend(folder / "backend")
        return
    found = servers[kind].backend()
    yield found
    found.close()


@pytest.fixture
def proxy(strict: Server) -> Iterator[FaultyProxy]:
    """A proxy in front of the strict server that does what it is told."""
    with FaultyProxy(strict.endpoint) as running:
        yield running


@pytest.fixture
def work(tmp_path: Path) -> Work:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Work(scratch=scratch)
