"""Which server an address leads to, however it is written: two spellings of one server are one server."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.settings import Settings
from archon_dagster.stores.base import StoreName
from archon_dagster.stores.relational.dsn import environment_of

_PORTS = {"http": 80, "https": 443, "bolt": 7687, "bolt+s": 7687, "bolt+ssc": 7687, "neo4j": 7687, "neo4j+s": 7687}
_THIS_MACHINE = "this machine"
_LOOK_UP = 5.0  # seconds a name server may take


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server, and the database on it.

    :param host: as it is written. :param database: empty: the server's default one, whatever its name.
    """

    host: str
    port: int
    database: str = ""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}" + (f"/{self.database}" if self.database else "")

    def is_same(self, other: Endpoint) -> bool:
        """Whether both may lead to the same data; where that cannot be told apart, they do."""
        if self.port != other.port or (self.database and other.database and self.database != other.database):
            return False
        return self.host == other.host or bool(_machines(self.host) & _machines(other.host))


def endpoint(settings: Settings, store: StoreName) -> Endpoint:
    """Where these settings find the server of a store."""
    if store == "vectors":
        return _of_url(settings.qdrant_url, "QDRANT_URL")
    if store == "graph":
        return _of_url(settings.memgraph_uri, "MEMGRAPH_URI", settings.memgraph_database or "")
    if settings.postgres_dsn is None:
        return Endpoint(settings.postgres_host, settings.postgres_port, settings.postgres_db)
    found = environment_of(settings.postgres_dsn.get_secret_value())
    user = found.get("PGUSER", settings.postgres_user)
    host = found.get("PGHOSTADDR") or found.get("PGHOST", "localhost")
    try:
        port = int(found.get("PGPORT", "5432").partition(",")[0])
    except ValueError as error:
        raise ConfigurationError("the port in POSTGRES_DSN is not a number", todo="correct it") from error
    return Endpoint(host, port, found.get("PGDATABASE", user))


def _of_url(url: str, setting: str, database: str = "") -> Endpoint:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"the port in {setting} is none: {error}", todo="correct it") from error
    return Endpoint(parts.hostname or "", port or _PORTS.get(parts.scheme, 0), database)


def _machines(hosts: str) -> frozenset[str]:
    """The machines behind a host, or behind several with commas between: their addresses; this one has one name."""
    own = {address.address.partition("%")[0] for found in psutil.net_if_addrs().values() for address in found}
    return frozenset(_machine(address, own) for host in hosts.split(",") for address in _looked_up(host))


def _machine(address: str, own: set[str]) -> str:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return _THIS_MACHINE if address.startswith("/") else address  # a socket's directory, or an unknown name
    plain = getattr(found, "ipv4_mapped", None) or found
    return _THIS_MACHINE if plain.is_loopback or plain.is_unspecified or str(plain) in own else str(plain)


def _looked_up(host: str) -> set[str]:
    """The addresses of a host; its name where there are none, or where the name server does not answer."""
    name, answers = host.strip().lower().rstrip("."), set[str]()
    if name.startswith("/"):
        return {name}
    if name in ("", "localhost") or name.endswith(".localhost"):
        return {"127.0.0.1"}  # by RFC 6761, and also where no file and no name server says so

    def ask() -> None:
        with contextlib.suppress(OSError, UnicodeError):  # then the name has to do
            answers.update(str(answer[4][0]) for answer in socket.getaddrinfo(name, None))

    asking = threading.Thread(target=ask, name=f"look up {name}", daemon=True)
    asking.start()
    asking.join(_LOOK_UP)
    return set(answers) or {name}
