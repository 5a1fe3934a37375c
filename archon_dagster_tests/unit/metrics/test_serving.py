"""A scrape over HTTP: at one path, in time, and not more at once than there is room for."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from archon_dagster.cli.main import app
from archon_dagster.errors import ConfigurationError, ServiceError
from archon_dagster.metrics.certificate import expiry, parsed
from archon_dagster.metrics.gathering import Facts, Source
from archon_dagster.metrics.gauge import gauge
from archon_dagster.metrics.serving import MOST, MetricsServer, serving
from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.unit.metrics.full_home import filled, names


@contextmanager
def served(facts: Facts) -> Iterator[MetricsServer]:
    with serving(facts, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    facts = Facts([Source("one", lambda now: [gauge("archon_one", "One.", 1.0)], 60.0)])
    facts.look(5.0)
    with served(facts) as found:
        yield found


def url(server: MetricsServer, path: str = "/metrics") -> str:
    return f"http://127.0.0.1:{server.server_port}{path}"


def test_a_scrape_is_answered_in_prometheus_own_format(server: MetricsServer) -> None:
    answer = httpx.get(url(server))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "archon_one" in {family.name for family in text_string_to_metric_families(answer.text)}


def test_there_is_nothing_but_metrics(server: MetricsServer) -> None:
    for path in ("/", "/metrics/", "/favicon.ico", "/%2e%2e/metrics", "/graphql"):
        assert httpx.get(url(server, path)).status_code == 404
    for method in ("POST", "PUT", "DELETE"):
        assert httpx.request(method, url(server)).status_code == 405


def test_who_says_nothing_is_hung_up_on_and_one_more_than_there_is_room_for_is_turned_away(
    server: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.RequestHandlerClass, "timeout", 4.0)
    silent = [socket.create_connection(("127.0.0.1", server.server_port), 10) for _ in range(MOST)]
    try:
        eventually(lambda: not _answered(server), 4.0)
        eventually(lambda: _answered(server), 20.0)
    finally:
        for one in silent:
            one.close()


def _answered(server: MetricsServer) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def test_a_port_that_is_taken_says_what_to_do(server: MetricsServer) -> None:
    with pytest.raises(ServiceError, match="archon metrics serve --port"):
        serving(Facts([]), "127.0.0.1", server.server_port)


# the program


@contextmanager
def archon(home: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {"ARCHON_HOME": str(home), "ARCHON_RUNTIME": "processes"}
    command = [sys.executable, "-m", "archon_dagster.cli", "metrics", *words]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_it_is_printed_once_and_a_part_that_is_missing_is_an_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    filled(home)
    monkeypatch.setenv("ARCHON_HOME", str(home))
    done = CliRunner().invoke(app, ["metrics"])
    assert (done.exit_code, done.stderr) == (0, "")
    assert "archon_backup_age_limit_seconds" in names(done.stdout)
    (home / "repository" / "config.json").write_text("garbage")
    done = CliRunner().invoke(app, ["metrics"])
    assert done.exit_code == 1 and "archon_service_state" in names(done.stdout)
    assert 'archon_metrics_source_up{source="backups"} 0.0' in done.stdout


def test_it_serves_until_it_is_stopped_and_its_first_answer_is_whole(tmp_path: Path) -> None:
    home = tmp_path / "home"
    filled(home)
    with archon(home, "serve", "--port", "0") as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        assert address.startswith("http://127.0.0.1:")
        found = httpx.get(address, timeout=30).text
        assert {"archon_backup_age_limit_seconds", "archon_service_state"} <= names(found)
        process.send_signal(signal.SIGTERM)
        _, wrong = process.communicate(timeout=60)
        assert (process.returncode, wrong) == (0, "")


# the certificate of a server


@pytest.fixture(params=[40, -3], ids=["valid", "expired"])
def tls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[int, datetime]]:
    """A TLS server that signs itself, and until when."""
    from archon_dagster_tests.unit.metrics.certificates import signed_by_itself

    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=request.param)
    pem = signed_by_itself(tmp_path, until)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stop = threading.Event()

        def answer() -> None:
            listening.settimeout(0.2)
            while not stop.is_set():
                try:
                    plain, _ = listening.accept()
                except TimeoutError:
                    continue
                with plain:
                    plain.settimeout(5)
                    try:
                        with context.wrap_socket(plain, server_side=True) as connection:
                            connection.recv(1)
                    except OSError:
                        continue

        thread = threading.Thread(target=answer)
        thread.start()
        yield listening.getsockname()[1], until
        stop.set()
        thread.join(10)


def test_the_end_of_a_certificate_is_read_whoever_signed_it(tls: tuple[int, datetime]) -> None:
    port, until = tls
    assert expiry("127.0.0.1", port) == (until.timestamp() if until > datetime.now(UTC) else 0.0)


def test_a_server_that_is_not_there_is_no_valid_certificate() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ServiceError, match="no certificate could be read"):
        expiry("127.0.0.1", port)
    with pytest.raises(ConfigurationError, match="host:port"):
        parsed("proxy")
    assert parsed("[::1]:8443") == ("::1", 8443)
