"""Two spellings of one server are one server: a restore into it is no restore into another platform."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.settings import settings_of
from archon_dagster.restore.endpoints import Endpoint, endpoint

HERE = Endpoint("127.0.0.1", 7687)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "127.1",
        "127.0.0.2",
        "::1",
        "0.0.0.0",
        "::ffff:127.0.0.1",
        socket.gethostname(),
    ],
)
def test_this_machine_by_any_name_is_this_machine(host: str) -> None:
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        pytest.skip(f"this machine does not know {host}: only as far as it does")
    assert Endpoint(host, 7687).is_same(HERE)
    assert HERE.is_same(Endpoint(host, 7687))


def test_another_port_or_another_machine_is_another_server() -> None:
    assert not Endpoint("127.0.0.1", 17687).is_same(HERE)
    assert not Endpoint("192.0.2.7", 7687).is_same(HERE)
    assert not Endpoint("no-such-host.invalid", 7687).is_same(HERE)
    assert Endpoint("no-such-host.invalid", 7687).is_same(Endpoint("no-such-host.invalid", 7687))


def test_a_database_with_no_name_may_be_any() -> None:
    named = Endpoint("127.0.0.1", 5432, "archon")
    assert named.is_same(Endpoint("localhost", 5432))
    assert not named.is_same(Endpoint("localhost", 5432, "other"))


@pytest.mark.parametrize(
    ("line", "store", "found"),
    [
        ("QDRANT_URL=https://q.example/", "vectors", "q.example:443"),
        ("MEMGRAPH_URI=bolt+s://g.example", "graph", "g.example:7687"),
        ("POSTGRES_DSN=host=name hostaddr=192.0.2.1 user=u", "relational", "192.0.2.1:5432/u"),
        ("POSTGRES_DSN=postgresql://u:p@db:6543/archon", "relational", "db:6543/archon"),
    ],
)
def test_where_settings_lead(tmp_path: Path, line: str, store: str, found: str) -> None:
    file = tmp_path / "there.env"
    file.write_text(f"{line}\n")
    assert str(endpoint(settings_of(tmp_path, file), store)) == found  # type: ignore[arg-type]


def test_a_port_that_is_none_is_said(tmp_path: Path) -> None:
    file = tmp_path / "there.env"
    file.write_text("QDRANT_URL=http://127.0.0.1:99999\n")
    with pytest.raises(ConfigurationError, match="QDRANT_URL"):
        endpoint(settings_of(tmp_path, file), "vectors")


def test_a_file_that_is_no_text_is_said(tmp_path: Path) -> None:
    file = tmp_path / "there.env"
    file.write_bytes(b"QDRANT_URL=\xff\n")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        settings_of(tmp_path, file)


def test_localhost_is_this_machine_also_where_nothing_resolves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container without /etc/hosts: two spellings of the live database must still be one."""

    def unknown(*_: object, **__: object) -> object:
        raise OSError("no name server, no hosts file")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    for name in ("localhost", "LOCALHOST.", "db.localhost", ""):
        assert Endpoint(name, 5432).is_same(Endpoint("127.0.0.1", 5432, "archon"))
    assert not Endpoint("elsewhere", 5432).is_same(Endpoint("127.0.0.1", 5432))
