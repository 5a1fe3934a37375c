"""Prometheus and Alertmanager themselves, with our files: who is told of what, and of what only once."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from archon_dagster.sandbox.ports import any_free
from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.monitoring_programs import program
from archon_dagster_tests.unit.metrics.full_home import filled, looked

pytestmark = pytest.mark.long

MONITORING = Path(__file__).parents[2] / "docker" / "monitoring"
SECRET = "hush-7Hq2"
LIMIT, START = 60.0, 150.0  # seconds: until something is told; until all programs work


class Receivers(ThreadingHTTPServer):
    """Takes what the chat, the pager and the dead man's switch would be sent: by path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: dict[str, list[dict[str, Any]]] = {}

    def told(self, path: str) -> str:
        return json.dumps(self.received.get(path, []))


class _Handler(BaseHTTPRequestHandler):
    server: Receivers

    def do_POST(self) -> None:
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.received.setdefault(self.path, []).append(said)
        self.send_response(202 if self.path == "/pager" else 200)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: Any) -> None: ...


@dataclass(frozen=True)
class Monitoring:
    """All of it running, on a home that a test writes."""

    home: Path
    receivers: Receivers
    prometheus: httpx.Client
    alertmanager: httpx.Client

    def alerts(self) -> dict[str, str]:
        """What Alertmanager knows: alert and service, and whether it is told (``active``) or muted."""
        found = self.alertmanager.get("/api/v2/alerts").raise_for_status().json()
        return {
            f"{one['labels']['alertname']} {one['labels'].get('service', '')}".strip(): "muted"
            if one["status"]["inhibitedBy"]
            else "told"
            for one in found
        }


@pytest.fixture(scope="module")
def monitoring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitoring]:
    programs = {name: program(name) for name in ("prometheus", "alertmanager")}
    directory = tmp_path_factory.mktemp("monitoring")
    home = directory / "home"
    filled(home)
    ours = any_free()
    theirs = any_free([ours])
    manager = any_free([ours, theirs])
    with ExitStack() as stack:
        receivers = stack.enter_context(Receivers())
        thread = threading.Thread(target=receivers.serve_forever, daemon=True)
        thread.start()
        stack.callback(receivers.shutdown)
        files = _files(directory, ours, manager, receivers.server_port)
        environment = os.environ | {"ARCHON_HOME": str(home), "ARCHON_RUNTIME": "processes"}
        archon = [sys.executable, "-m", "archon_dagster.cli", "metrics", "serve", "--port", str(ours)]
        stack.enter_context(_running(archon, directory / "metrics.log", environment))
        stack.enter_context(
            _running(
                [programs["alertmanager"], f"--config.file={files / 'alertmanager.yml'}",
                 f"--storage.path={directory / 'am'}", f"--web.listen-address=127.0.0.1:{manager}",
                 "--cluster.listen-address="],
                directory / "alertmanager.log",
            )
        )  # fmt: skip
        stack.enter_context(
            _running(
                [programs["prometheus"], f"--config.file={files / 'prometheus.yml'}",
                 f"--storage.tsdb.path={directory / 'tsdb'}", f"--web.listen-address=127.0.0.1:{theirs}"],
                directory / "prometheus.log",
            )
        )  # fmt: skip
        clients = [httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20.0) for port in (theirs, manager)]
        found = Monitoring(home, receivers, *(stack.enter_context(client) for client in clients))
        stack.enter_context(_looking(home))
        eventually(lambda: _ready(found), START)
        yield found


def _files(directory: Path, ours: int, manager: int, receivers: int) -> Path:
    """The files as they are, but for addresses, and everything much faster."""
    files = directory / "files"
    shutil.copytree(MONITORING, files, ignore=shutil.ignore_patterns("secrets", "tests"))
    secrets = files / "secrets"
    secrets.mkdir()
    for name, path in (("chat_url", "chat"), ("dead_mans_switch_url", "switch")):
        (secrets / name).write_text(f"http://127.0.0.1:{receivers}/{path}")
    (secrets / "pager_key").write_text(SECRET)
    (secrets / "qdrant_api_key").touch()
    for file in files.glob("rules/*.yml"):
        file.write_text(re.sub(r"for: \w+", "for: 1s", file.read_text()))
    text = (files / "prometheus.yml").read_text()
    text = text.replace("metrics:9464", f"127.0.0.1:{ours}").replace("alertmanager:9093", f"127.0.0.1:{manager}")
    text = text.replace("qdrant:6333", "127.0.0.1:1").replace("archon-intelligence:8053", "127.0.0.1:1")
    text = re.sub(r"(scrape|evaluation)_interval: \w+", r"\1_interval: 2s", text)
    text = text.replace("scrape_timeout: 10s", "scrape_timeout: 2s").replace("/run/secrets", str(secrets))
    (files / "prometheus.yml").write_text(text)
    text = (files / "alertmanager.yml").read_text().replace("/run/secrets", str(secrets))
    text = re.sub(r"group_(wait|interval): \w+", r"group_\1: 1s", text).replace(
        "repeat_interval: 1m", "repeat_interval: 1s"
    )
    text += f"global: {{pagerduty_url: 'http://127.0.0.1:{receivers}/pager'}}\n"
    (files / "alertmanager.yml").write_text(text)
    return files


@contextmanager
def _running(command: list[str], log: Path, environment: dict[str, str] | None = None) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    try:
        yield
    finally:
        assert process.poll() is None, f"{command[0]} has ended by itself:\n{log.read_text()[-2000:]}"
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@contextmanager
def _looking(home: Path) -> Iterator[None]:
    """A monitor that looks every second; a test says what it sees, in ``sees``."""
    stop = threading.Event()
    (home / "sees").write_text("")

    def look() -> None:
        while not stop.wait(1.0):
            unwell = tuple((home / "sees").read_text().split())
            looked(home, time.time(), unwell=unwell, cause=unwell[0] if unwell else "")

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)


def _ready(monitoring: Monitoring) -> bool:
    try:
        return "Watchdog" in monitoring.alerts() and "archon_backups" in _names(monitoring)
    except httpx.HTTPError:
        return False


def _names(monitoring: Monitoring) -> list[str]:
    answer = monitoring.prometheus.get("/api/v1/label/__name__/values")
    return list(answer.raise_for_status().json()["data"])


def test_prometheus_reads_the_control_plane_and_misses_nothing_of_it(monitoring: Monitoring) -> None:
    found = monitoring.prometheus.get("/api/v1/rules").raise_for_status().json()["data"]["groups"]
    assert {group["name"] for group in found} == {"services", "stores", "backups", "control-plane"}
    assert not [rule for group in found for rule in group["rules"] if rule["health"] == "err"]
    eventually(lambda: "ArchonMetricsAbsent" not in monitoring.alerts(), LIMIT)


def test_the_dead_mans_switch_is_called(monitoring: Monitoring) -> None:
    eventually(lambda: "Watchdog" in monitoring.receivers.told("/switch"), LIMIT)
    assert "Watchdog" not in monitoring.receivers.told("/chat")


def test_the_root_cause_is_told_and_who_suffers_from_it_is_not(monitoring: Monitoring) -> None:
    (monitoring.home / "sees").write_text("qdrant archon-search")
    try:
        eventually(lambda: monitoring.alerts().get("ServiceAffected archon-search") == "muted", LIMIT)
        assert monitoring.alerts()["ServiceDown qdrant"] == "told"
        assert monitoring.alerts()["QdrantScrapeFailed qdrant"] == "muted"
        eventually(lambda: "qdrant is down" in monitoring.receivers.told("/chat"), LIMIT)
        eventually(lambda: "qdrant is down" in monitoring.receivers.told("/pager"), LIMIT)
        assert "suffers from" not in monitoring.receivers.told("/chat")
        assert SECRET in monitoring.receivers.told("/pager") and SECRET not in monitoring.receivers.told("/chat")
    finally:
        (monitoring.home / "sees").write_text("")


def test_what_the_control_plane_tells_itself_is_not_told_twice(monitoring: Monitoring) -> None:
    (monitoring.home / ".env").write_text("ARCHON_ALERT_URLS=json://127.0.0.1:1/x\n")
    try:
        eventually(lambda: "ArchonTellsItself" in monitoring.alerts(), LIMIT)
        (monitoring.home / "sees").write_text("memgraph")
        eventually(lambda: monitoring.alerts().get("ServiceDown memgraph") == "muted", LIMIT)
        assert "memgraph is down" not in monitoring.receivers.told("/chat")
        (monitoring.home / ".env").unlink()
        eventually(lambda: monitoring.alerts().get("ServiceDown memgraph") == "told", LIMIT)
        eventually(lambda: "memgraph is down" in monitoring.receivers.told("/chat"), LIMIT)
    finally:
        (monitoring.home / ".env").unlink(missing_ok=True)
        (monitoring.home / "sees").write_text("")
