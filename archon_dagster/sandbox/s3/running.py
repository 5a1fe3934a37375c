"""Run the sandbox's S3 server for as long as somebody needs it; it never outlives whoever started it."""

from __future__ import annotations

import importlib.util
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from archon_dagster.errors import ConfigurationError, ServiceError

BUCKET = "archon-backups"
_START_BUDGET, _STOP_BUDGET = 60.0, 10.0  # seconds
_ENDPOINT = "ARCHON_S3_ENDPOINT"


@dataclass(frozen=True, slots=True)
class ObjectStorage:
    """A running S3 server with an empty bucket.

    :param pid: of the server's process; 0 where it is not known.
    """

    endpoint: str
    bucket: str
    pid: int = 0

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make this the place of the backups. The key opens nothing: the server takes any."""
        return {
            "ARCHON_REPOSITORY": f"s3://{self.bucket}/repository",
            _ENDPOINT: self.endpoint,
            "ARCHON_S3_KEY": "sandbox",
            "ARCHON_S3_SECRET": "sandbox",
        }


@contextmanager
def object_storage(bucket: str = BUCKET) -> Iterator[ObjectStorage]:
    """Start the server, wait until it answers, stop it in the end; all that it held is lost with it.

    It also ends by itself when this process dies, because it reads from a pipe that ends then.
    """
    if importlib.util.find_spec("moto") is None:
        raise ConfigurationError("the sandbox's S3 server is not installed", todo="install archon-dagster[sandbox]")
    command = [sys.executable, "-P", "-m", "archon_dagster.sandbox.s3", "--with-stdin", "--bucket", bucket]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd="/",
            start_new_session=True,  # a Ctrl-C is for whoever uses it, who may have to clean up here
        )  # fmt: skip
        try:
            yield ObjectStorage(_endpoint(process, log), bucket, process.pid)
        finally:
            _stop(process)


def _endpoint(process: subprocess.Popen[bytes], log: IO[bytes]) -> str:
    """What the server says about itself when it listens."""
    assert process.stdout is not None
    said, end = b"", time.monotonic() + _START_BUDGET
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ)
        while not said.endswith(b"\n\n"):
            if not ready.select(max(0.0, end - time.monotonic())) or not (
                part := os.read(process.stdout.fileno(), 4096)
            ):
                log.seek(0)
                raise ServiceError(
                    f"the sandbox's S3 server did not start within {_START_BUDGET:g} s",
                    tried=log.read()[-2000:].decode(errors="replace") or "it said nothing",
                )
            said += part
    lines = dict(line.split("=", 1) for line in said.decode().split())
    return lines[_ENDPOINT]


def _stop(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()
    try:
        process.wait(_STOP_BUDGET)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
