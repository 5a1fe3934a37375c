"""Servers that do not speak HTTP: Bolt, PostgreSQL, and whatever merely listens."""

from __future__ import annotations

import socket
import struct
import warnings
from urllib.parse import urlsplit

from archon_dagster.platform.probes.addresses import address, postgres_endpoint
from archon_dagster.platform.probes.answer import Unwell, connected
from archon_dagster.platform.services import Service
from archon_dagster.platform.settings import Settings

_BOLT_HANDSHAKE = bytes.fromhex("6060b017 00020205 00000304 00000104 00000001")  # magic; 5.2 down to 5.0, 4.3, 4.1, 1
_STARTING_UP = "57P03"  # PostgreSQL's cannot_connect_now


def ask_bolt(service: Service, settings: Settings, _: bool) -> str:
    """A query comes back."""
    _endpoint_answers(settings.memgraph_uri, service)
    import neo4j
    from neo4j.exceptions import DriverError, Neo4jError

    user, password = settings.memgraph_user, settings.memgraph_password.get_secret_value()
    limit = service.probe.timeout
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with (
                neo4j.GraphDatabase.driver(
                    settings.memgraph_uri, auth=(user, password) if user or password else None,
                    connection_timeout=limit, connection_acquisition_timeout=limit, max_transaction_retry_time=0.0,
                    max_connection_pool_size=1, telemetry_disabled=True,
                    notifications_min_severity=neo4j.NotificationMinimumSeverity.OFF) as driver,
                driver.session(database=settings.memgraph_database) as session,
            ):  # fmt: skip
                session.run(neo4j.Query("RETURN 1", timeout=limit)).consume()
        except (DriverError, Neo4jError) as error:
            raise Unwell(f"{type(error).__name__}: {error}".splitlines()[0][:300]) from error
    return "answers queries"


def _endpoint_answers(uri: str, service: Service) -> None:
    """Do the Bolt handshake by hand first: a frozen server would keep the driver waiting for longer than we allow."""
    parts = urlsplit(uri)
    with connected((parts.hostname or "127.0.0.1", parts.port or service.port), service.probe.timeout) as connection:
        if parts.scheme not in ("bolt", "neo4j"):
            return  # with TLS the driver's own time limits have to do
        connection.sendall(_BOLT_HANDSHAKE)
        if len(connection.recv(4)) < 4:
            raise Unwell("closed the connection during the Bolt handshake")


def ask_postgres(service: Service, settings: Settings, _: bool) -> str:
    """Begin a session as far as the server's first word: it is an error while the server starts, recovers or stops."""
    with connected(postgres_endpoint(settings), service.probe.timeout) as connection:
        names = f"user\0{settings.postgres_user}\0database\0{settings.postgres_db}\0\0".encode()
        connection.sendall(struct.pack(">II", 8 + len(names), 3 << 16) + names)
        kind, body = _postgres_message(connection)
    if kind == b"R":
        return "accepts sessions"
    fields = {part[:1]: part[1:].decode(errors="replace") for part in body.split(b"\0") if part}
    message = fields.get(b"M", repr(body[:100]))
    # any other error (a database that does not exist, a session that must be encrypted) comes from a server at work
    if kind == b"E" and fields.get(b"C", "") not in (_STARTING_UP, "") and not fields[b"C"].startswith("53"):
        return f"answers: {message}"
    raise Unwell(message)


def _postgres_message(connection: socket.socket) -> tuple[bytes, bytes]:
    head = _receive(connection, 5)
    return head[:1], _receive(connection, min(struct.unpack(">I", head[1:])[0] - 4, 65536))


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise Unwell("closed the connection without an answer")
        data += piece
    return data


def ask_tcp(service: Service, settings: Settings, _: bool) -> str:
    """The port is open."""
    parts = urlsplit(f"//{address(service, settings).rpartition('//')[2]}")
    with connected((parts.hostname or "127.0.0.1", parts.port or service.port), service.probe.timeout):
        return "accepts connections"
