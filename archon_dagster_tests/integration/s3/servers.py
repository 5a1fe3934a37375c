"""S3 servers for tests: the sandbox's moto, VersityGW (which believes nothing unproven), or any endpoint named.

``ARCHON_TEST_VERSITYGW`` names VersityGW's program where it is not on the ``PATH``. ``ARCHON_TEST_S3_ENDPOINT`` with
``ARCHON_TEST_S3_KEY``, ``ARCHON_TEST_S3_SECRET`` and, where it may not make one, ``ARCHON_TEST_S3_BUCKET`` adds a
third server, on which every test runs that does not need what only one of the other two has:

* moto ignores conditions without a word, does not mind a changed signature, and assumes roles
* VersityGW can be started with a certificate of the test's own
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import pytest

from archon_dagster.repository.backends.s3.address import Address
from archon_dagster.repository.backends.s3.backend import S3Backend
from archon_dagster.repository.backends.s3.client import make_client
from archon_dagster.repository.backends.s3.settings import S3Settings, load_s3_settings
from archon_dagster.sandbox.ports import any_free
from archon_dagster.sandbox.s3.running import object_storage
from archon_dagster_tests.eventually import eventually

NAMED = os.environ.get("ARCHON_TEST_S3_ENDPOINT")
KINDS = ("moto", "versitygw", *(("endpoint",) if NAMED else ()))
STRICT = "endpoint" if NAMED else "versitygw"
"""The server of the tests that need one which checks signatures and digests, as whatever is named should."""


@dataclass(frozen=True)
class Server:
    """An S3 server that is up, with a bucket for tests."""

    kind: str
    endpoint: str
    key: str
    secret: str
    bucket: str
    pid: int = 0

    def settings(self, **overrides: Any) -> S3Settings:
        """Settings that reach it; short times, so that a test of a fault does not take long."""
        defaults = {
            "ARCHON_S3_ENDPOINT": self.endpoint,
            "ARCHON_S3_KEY": self.key,
            "ARCHON_S3_SECRET": self.secret,
            "ARCHON_S3_ATTEMPTS": 3,
        }
        return load_s3_settings(**{**defaults, **overrides})

    def backend(self, prefix: str | None = None, **overrides: Any) -> S3Backend:
        """A backend in a prefix of its own."""
        fresh = f"tests/{uuid.uuid4().hex}/" if prefix is None else prefix
        return S3Backend(Address(self.bucket, fresh), self.settings(**overrides))

    @property
    def swaps_in_one_step(self) -> bool:
        """Whether it compares and writes in one step. VersityGW, by its own name, does it in two."""
        return "versity" not in httpx.get(self.endpoint, timeout=30.0).headers.get("server", "").lower()

    def at(self, endpoint: str) -> Server:
        """The same server, reached another way."""
        return replace(self, endpoint=endpoint)


@contextmanager
def able(server: Server, what: str) -> Iterator[None]:
    """For what S3 servers need not have: one that is named and refuses it skips the test, with the reason."""
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        if server.kind != "endpoint":
            raise
        pytest.skip(f"the endpoint that is named does not {what}: {error.response['Error']['Code']}")


def fresh_bucket_name() -> str:
    """A bucket that is made on an endpoint which outlives the test is another one the next time."""
    return f"archon-tests-{uuid.uuid4().hex[:12]}"


@contextmanager
def serving(kind: str) -> Iterator[Server]:
    """A server of this kind; skips with the reason where there is none."""
    with {"moto": _moto, "versitygw": _versitygw, "endpoint": _named}[kind]() as server:
        yield server


@contextmanager
def _moto() -> Iterator[Server]:
    pytest.importorskip("moto", reason="moto is not installed (archon-dagster[sandbox])")
    with object_storage("archon-tests") as storage:
        yield Server("moto", storage.endpoint, "anything", "goes", storage.bucket, storage.pid)


@contextmanager
def _versitygw() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="versitygw-") as folder, running_versitygw(Path(folder)) as server:
        yield server


@contextmanager
def running_versitygw(folder: Path, certificate: tuple[Path, Path] | None = None) -> Iterator[Server]:
    """VersityGW on a free port, its data below ``folder``, which has to be on a filesystem with extended attributes.

    (With ``--sidecar`` an object and its metadata are not replaced together, and may be of two writers.)

    :param certificate: its certificate, signed by itself, and the key, for encrypted connections.
    """
    program = os.environ.get("ARCHON_TEST_VERSITYGW") or shutil.which("versitygw")
    if program is None:
        pytest.skip("VersityGW is not installed: put versitygw on the PATH or name it in ARCHON_TEST_VERSITYGW")
    for name in ("data", "versions"):
        (folder / name).mkdir(exist_ok=True)
    port, (key, secret) = any_free(), ("archon-tests", uuid.uuid4().hex)
    tls = ("--cert", str(certificate[0]), "--key", str(certificate[1])) if certificate else ()
    command = [
        program, "--port", f"127.0.0.1:{port}", "--quiet", *tls, "posix",
        "--versioning-dir", str(folder / "versions"), str(folder / "data"),
    ]  # fmt: skip
    environment = os.environ | {"ROOT_ACCESS_KEY": key, "ROOT_SECRET_KEY": secret}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
    scheme, trusted = ("https", {"ARCHON_S3_CA_BUNDLE": str(certificate[0])}) if certificate else ("http", {})
    server = Server("versitygw", f"{scheme}://127.0.0.1:{port}", key, secret, "archon-tests", process.pid)
    try:
        eventually(lambda: _has_bucket(server, process, trusted), within=30)
        yield server
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def _named() -> Iterator[Server]:
    assert NAMED
    key, secret = os.environ["ARCHON_TEST_S3_KEY"], os.environ["ARCHON_TEST_S3_SECRET"]
    bucket = os.environ.get("ARCHON_TEST_S3_BUCKET")
    server = Server("endpoint", NAMED, key, secret, bucket or "archon-tests")
    if bucket is None:
        _has_bucket(server)
    yield server


def _has_bucket(
    server: Server, process: subprocess.Popen[bytes] | None = None, trusted: Mapping[str, str] = MappingProxyType({})
) -> bool:
    from botocore.exceptions import BotoCoreError

    assert process is None or process.poll() is None, "the server has ended"
    client = make_client(server.settings(ARCHON_S3_ATTEMPTS=1, ARCHON_S3_CONNECT_TIMEOUT=1, **trusted))
    try:
        client.create_bucket(Bucket=server.bucket)
    except client.exceptions.BucketAlreadyOwnedByYou:
        return True
    except BotoCoreError:
        return False
    finally:
        client.close()
    return True
