"""The platform that is drilled: `archon up` as an operator runs it, in a home of its own, with data and a backup."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import httpx
import psutil

from archon_dagster.cli import webserver
from archon_dagster.context import OperationContext, open_context
from archon_dagster.health import state as states
from archon_dagster.health.state import MonitorState
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.settings import Settings, settings_of
from archon_dagster.recovery.book import Book
from archon_dagster.repository.manifest import Fingerprint
from archon_dagster.sandbox.seed.seeding import seed
from archon_dagster.stores.base import StoreName
from drills import containers
from drills.letterbox import Letterbox, letterbox
from drills.servers import Servers
from drills.waiting import TooLate, wait_for

STORES: tuple[StoreName, ...] = ("vectors", "graph", "relational")
START_LIMIT, STOP_LIMIT, BACKUP_LIMIT = 180.0, 120.0, 180.0  # seconds
FILES, POINTS = 60, 400  # of the sample data: enough that nothing is small by chance, little enough to compare often

_ARCHON = [sys.executable, "-u", "-m", "archon_dagster.cli"]


@dataclass
class Platform:
    """A running `archon up`.

    :param home: of the control plane. :param letters: where its alerts arrive.
    """

    home: Path
    servers: Servers
    process: subprocess.Popen[bytes]
    letters: Letterbox
    log: Path
    before: dict[StoreName, Fingerprint] = field(default_factory=dict)

    @cached_property
    def settings(self) -> Settings:
        """What its files say, whatever the environment of this process says."""
        return settings_of(self.home)

    @property
    def runtime(self) -> Runtime:
        return self.servers.runtime

    @property
    def book(self) -> Book:
        return Book(self.home)

    @property
    def health(self) -> MonitorState:
        """What the health monitor knows."""
        return states.load(self.home)

    @property
    def url(self) -> str:
        """The webserver's address."""
        found = webserver.running_webserver(self.settings)
        if found is None:
            raise TooLate(f"the webserver of {self.home} does not answer; see {self.log}")
        return found

    @property
    def daemon(self) -> psutil.Process | None:
        """Dagster's daemon, not its tether; ``None`` while there is none."""
        try:
            below = psutil.Process(self.process.pid).children(recursive=True)
            return next((one for one in below if "dagster._daemon" in one.cmdline()[:4]), None)
        except psutil.Error:
            return None

    def context(self) -> OperationContext:
        return open_context(self.settings)

    def fingerprints(self) -> dict[StoreName, Fingerprint]:
        """What every store holds now."""
        return self.context().fingerprints()

    def differences(self) -> list[str]:
        """What is not as it was before the drill."""
        now = self.fingerprints()
        return [f"{name} {one}" for name in STORES for one in self.before[name].differences(now[name])]

    def unwell(self) -> dict[str, str]:
        """Services that the monitor does not call healthy, and why; one that is about to change counts too."""
        return {
            name: one.detail or one.state
            for name, one in self.health.services.items()
            if one.state != "healthy" or one.in_doubt
        }

    def launch(self, job: str) -> str:
        """Launch a job as from the UI; its run's id."""
        return webserver.launch(self.url, job, {})

    def status(self, run: str) -> str:
        """The status of a run, as the webserver tells it."""
        query = "query($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"
        answer = httpx.post(f"{self.url}/graphql", json={"query": query, "variables": {"run": run}}, timeout=30.0)
        return str(answer.raise_for_status().json()["data"]["runOrError"].get("status", "unknown"))

    def back_up(self) -> None:
        """Take a backup as an operator does, and note what the stores hold."""
        done = subprocess.run(
            [*_ARCHON, "backup", "--note", "before the drill"],
            env=_environment(self.home, {}), capture_output=True, text=True, timeout=BACKUP_LIMIT, check=False,
        )  # fmt: skip
        if done.returncode:
            raise TooLate(f"the backup before the drill failed:\n{done.stderr[-2000:]}")
        self.before = self.fingerprints()


@contextmanager
def running_platform(home: Path, settings: Mapping[str, str], kind: str = "processes") -> Iterator[Platform]:
    """A platform for the block, with sample data and a backup; everything is stopped afterwards.

    :param settings: further variables for `archon up`. :param kind: ``processes`` or ``compose``: what its servers are.
    """
    servers = Servers(home, kind)
    if home.exists():  # an earlier drill that was killed
        servers.down()
        shutil.rmtree(home)
    home.mkdir(parents=True)
    try:
        if kind == "compose":
            containers.up(home, owner_pid=os.getpid())
        with _operated(home, servers, settings, "--no-platform" if kind == "compose" else "--no-seed") as platform:
            yield platform
    finally:
        servers.down()


@contextmanager
def _operated(home: Path, servers: Servers, settings: Mapping[str, str], option: str) -> Iterator[Platform]:
    log = home / "up.log"
    with letterbox() as letters, log.open("wb") as output:
        process = subprocess.Popen(
            [*_ARCHON, "up", "--port", "0", option],
            env=_environment(home, {"ARCHON_ALERT_URLS": letters.url, **settings}),
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
        try:
            wait_for(
                "`archon up`",
                lambda: process.poll() is not None or re.search(r"^ready ", log.read_text(), re.MULTILINE),
                START_LIMIT,
                lambda: log.read_text()[-2000:],
            )
            if process.poll() is not None:
                raise TooLate(f"`archon up` has ended:\n{log.read_text()[-2000:]}")
            platform = Platform(home, servers, process, letters, log)
            seed(platform.settings, platform.runtime, limit=FILES, max_points=POINTS)
            platform.back_up()
            yield platform
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # one Ctrl-C is enough: what was started must not be left behind
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


def _environment(home: Path, more: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command: nothing in it leads to another platform."""
    foreign = ("ARCHON_", "QDRANT_", "MEMGRAPH_", "POSTGRES_", "SUPABASE_", "OLLAMA_", "DAGSTER_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "ARCHON_HOME": str(home), **more}
