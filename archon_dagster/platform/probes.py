"""Ask a service whether it is well, and read the answer instead of its status code.

The platform's services answer HTTP 200 while degraded, Qdrant's ``/readyz`` is content with dead collections, a
database accepts connections before it can use them. A probe never raises for a service that is not well: that is
its answer.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpx

from archon_dagster.platform.services import ProbeKind, Service
from archon_dagster.platform.settings import Settings

_GOOD = frozenset({"healthy", "ok", "ready", "operational", "up"})
_STARTING_UP = "57P03"  # PostgreSQL's cannot_connect_now


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service said to one probe.

    :param ok: it is well.
    :param text: what it said, in a few words.
    :param seconds: how long it took.
    """

    ok: bool
    text: str
    seconds: float


class _Unwell(Exception):
    """The service answered, and the answer is bad; ends one probe and never leaves this module."""


def address(service: Service, settings: Settings) -> str:
    """Where a service is reached, without credentials; empty for an external one that is not configured."""
    if service.name == "postgres":
        return "{}:{}".format(*_postgres_endpoint(settings))
    value = _setting(settings, service.address_setting)
    if value is None:
        return ""
    if isinstance(value, int):
        return f"127.0.0.1:{value}" if service.probe.kind == "tcp" else f"http://127.0.0.1:{value}"
    return _without_credentials(str(value)).rstrip("/")


def _setting(settings: Settings, alias: str) -> Any:
    for name, field in Settings.model_fields.items():
        if field.alias == alias:
            return getattr(settings, name)
    return None


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def probe(service: Service, settings: Settings, *, loaded: bool = True) -> Answer:
    """Ask one service once; takes at most a little more than the probe's timeout.

    :param loaded: what a store holds must be usable too; ``False`` before a restore, which is there to repair it.
    """
    if not address(service, settings):
        return Answer(False, f"not configured: {service.address_setting} is not set", 0.0)
    begin = time.monotonic()
    try:
        ok, text = True, _ASK[service.probe.kind](service, settings, loaded)
    except _Unwell as bad:
        ok, text = False, str(bad)
    except (OSError, httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        ok, text = False, _in_words(error, service)
    return Answer(ok, text, time.monotonic() - begin)


def _in_words(error: Exception, service: Service) -> str:
    if isinstance(error, (TimeoutError, httpx.TimeoutException)):
        return f"no answer within {service.probe.timeout:g} s"
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


# http


def _ask_http(service: Service, settings: Settings, _: bool) -> str:
    with httpx.Client(timeout=service.probe.timeout, headers=_keys(service, settings)) as client:
        response = client.get(address(service, settings) + service.probe.path)
    if not response.is_success:
        raise _Unwell(f"HTTP {response.status_code}: {response.text[:200].strip()}")
    return judge(response.text, says_health=service.probe.path == "/health")


def _keys(service: Service, settings: Settings) -> dict[str, str]:
    if service.name == "supabase" and settings.supabase_key is not None:
        return {"apikey": settings.supabase_key.get_secret_value()}
    return {}


def judge(body: str, *, says_health: bool) -> str:
    """The verdict in the body of a 200, in a few words; raises where it is a bad one.

    :param says_health: the body must contain a verdict; without one, any 200 is good enough.
    """
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    verdict = _verdict(said) if isinstance(said, dict) else None
    if verdict is None:
        if says_health:
            raise _Unwell(f"HTTP 200, but the body does not say that it is healthy: {body[:120].strip()!r}")
        return "answers"
    ok, state = verdict
    if not ok:
        raise _Unwell(f"HTTP 200, but {state}")
    return state


def _verdict(said: Mapping[str, Any]) -> tuple[bool, str] | None:
    """Good or not, and its words; the inner ``health`` of the MCP server counts as well as its ``success``."""
    inner = said.get("health")
    status = inner.get("status") if isinstance(inner, dict) else said.get("status")
    why = f": {said['error']}" if said.get("error") else ""
    if said.get("success") is False:
        return False, f"success is false{why}"
    if isinstance(status, str):
        return status.lower() in _GOOD, f"{status}{why}"
    if said.get("success") is True:
        return True, "success"
    return (False, str(said["error"])) if why else None


# qdrant


def _ask_qdrant(service: Service, settings: Settings, loaded: bool) -> str:
    key = settings.qdrant_api_key
    headers = {} if key is None else {"api-key": key.get_secret_value()}
    where, login = address(service, settings), urlsplit(settings.qdrant_url)
    with httpx.Client(
        base_url=where, timeout=service.probe.timeout, headers=headers, trust_env=False, verify=_trust(where),
        auth=(unquote(login.username), unquote(login.password or "")) if login.username else None,
    ) as client:  # fmt: skip
        ready = client.get("/readyz")
        if ready.status_code != 200:
            raise _Unwell(f"/readyz: HTTP {ready.status_code}: {ready.text[:200].strip()}")
        names = [str(entry["name"]) for entry in _result(client, "/collections")["collections"]]
        for name in names if loaded else ():
            info = _result(client, f"/collections/{quote(name, safe='')}", absent={})
            if info.get("status") == "red":
                raise _Unwell(f"collection {name} is red: {str(info.get('optimizer_status'))[:200]}")
    return f"ready, {len(names)} collections"


def _trust(url: str) -> ssl.SSLContext | bool:
    """The authorities this machine trusts, as the vectors store does; none are needed without TLS."""
    return ssl.create_default_context() if url.startswith("https:") else False


def _result(client: httpx.Client, path: str, absent: Any = None) -> Any:
    """The answer's result, or ``absent`` where that is given and there is nothing (deleted since it was listed)."""
    response = client.get(path)
    if response.status_code == 404 and absent is not None:
        return absent
    if response.status_code != 200:
        raise _Unwell(f"{path}: HTTP {response.status_code}: {response.text[:200].strip()}")
    return response.json()["result"]


# bolt

_BOLT_HANDSHAKE = bytes.fromhex("6060b017 00020205 00000304 00000104 00000001")  # magic; 5.2 down to 5.0, 4.3, 4.1, 1


def _ask_bolt(service: Service, settings: Settings, _: bool) -> str:
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
            raise _Unwell(f"{type(error).__name__}: {error}".splitlines()[0][:300]) from error
    return "answers queries"


def _endpoint_answers(uri: str, service: Service) -> None:
    """Do the Bolt handshake by hand first: a frozen server would keep the driver waiting for longer than we allow."""
    parts = urlsplit(uri)
    if parts.scheme not in ("bolt", "neo4j"):
        return  # with TLS the driver's own time limits have to do
    with socket.create_connection(
        (parts.hostname or "127.0.0.1", parts.port or service.port), service.probe.timeout
    ) as s:
        s.settimeout(service.probe.timeout)
        s.sendall(_BOLT_HANDSHAKE)
        if len(s.recv(4)) < 4:
            raise _Unwell("closed the connection during the Bolt handshake")


# postgres


def _postgres_endpoint(settings: Settings) -> tuple[str, int]:
    if settings.postgres_dsn is None:
        return settings.postgres_host, settings.postgres_port
    parts = urlsplit(settings.postgres_dsn.get_secret_value())
    return parts.hostname or settings.postgres_host, parts.port or 5432


def _ask_postgres(service: Service, settings: Settings, _: bool) -> str:
    """Begin a session as far as the server's first word: it is an error while the server starts, recovers or stops."""
    with socket.create_connection(_postgres_endpoint(settings), service.probe.timeout) as connection:
        connection.settimeout(service.probe.timeout)
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
    raise _Unwell(message)


def _postgres_message(connection: socket.socket) -> tuple[bytes, bytes]:
    head = _receive(connection, 5)
    return head[:1], _receive(connection, min(struct.unpack(">I", head[1:])[0] - 4, 65536))


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise _Unwell("closed the connection without an answer")
        data += piece
    return data


# tcp


def _ask_tcp(service: Service, settings: Settings, _: bool) -> str:
    parts = urlsplit(f"//{address(service, settings).rpartition('//')[2]}")
    with socket.create_connection((parts.hostname or "127.0.0.1", parts.port or service.port), service.probe.timeout):
        return "accepts connections"


_ASK: dict[ProbeKind, Callable[[Service, Settings, bool], str]] = {
    "http": _ask_http,
    "qdrant": _ask_qdrant,
    "bolt": _ask_bolt,
    "postgres": _ask_postgres,
    "tcp": _ask_tcp,
}
