"""The sandbox's graph server: a real Bolt and openCypher server from ``arcadedb-embedded``, or a real Memgraph."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.runtime.process_spec import ProcessSpec, write_private
from archon_dagster.sandbox.ports import LOOPBACK

USER, DATABASE = "root", "archon"

_HEAP = "512m"

_ADDED = (  # the engine's vector index wants them
    "--add-modules=jdk.incubator.vector",
    "--enable-native-access=ALL-UNNAMED",
)


def _package() -> Path:
    package = find_spec("arcadedb_embedded")
    if package is None or not package.submodule_search_locations:
        raise ConfigurationError(
            "the graph server is not installed", todo="install archon-dagster[sandbox], or use Docker"
        )
    return Path(package.submodule_search_locations[0])


def embedded(data: Path, service_dir: Path, port: int, http_port: int, password: str) -> ProcessSpec:
    """The server of the wheel. Its password goes through a private file: arguments are for all to see."""
    package = _package()
    options = {
        "arcadedb.server.rootPath": data,
        "arcadedb.server.rootPassword": password,
        "arcadedb.server.mode": "production",
        "arcadedb.server.httpIncomingHost": LOOPBACK,
        "arcadedb.server.httpIncomingPort": http_port,
        "arcadedb.bolt.host": LOOPBACK,
        "arcadedb.bolt.port": port,
        "arcadedb.server.plugins": "Bolt:com.arcadedb.bolt.BoltProtocolPlugin",
        "arcadedb.server.defaultDatabases": f"{DATABASE}[{USER}]",
    }
    lines = [f"-Xmx{_HEAP}", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError", *_ADDED]
    lines += [f"-D{name}={value}" for name, value in options.items()]
    service_dir.mkdir(parents=True, exist_ok=True)
    write_private(service_dir / "arguments", "".join(_quoted(line) + "\n" for line in lines))
    data.mkdir(parents=True, exist_ok=True)
    java = package / "jre" / "bin" / "java"
    return ProcessSpec(
        command=[
            str(java), f"@{service_dir / 'arguments'}", "-cp", str(package / "jars" / "*"),
            "com.arcadedb.server.ArcadeDBServer",
        ],
        cwd=data,
        version=f"ArcadeDB {version('arcadedb-embedded')}",
    )  # fmt: skip


def _quoted(line: str) -> str:
    """One argument in the syntax of Java's argument files."""
    escaped = line.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def memgraph(command: list[str], data: Path, service_dir: Path, port: int, ports: tuple[int, int]) -> ProcessSpec:
    """A real Memgraph, configured by its flags; ``ports`` are those of its monitoring and metrics servers."""
    data.mkdir(parents=True, exist_ok=True)
    service_dir.mkdir(parents=True, exist_ok=True)
    flags = {
        "bolt-address": LOOPBACK,
        "bolt-port": port,
        "data-directory": data,
        "log-file": service_dir / "memgraph.log",
        "also-log-to-stderr": "true",
        "telemetry-enabled": "false",
        "storage-properties-on-edges": "true",
        "storage-wal-enabled": "true",
        "storage-snapshot-interval-sec": 300,  # without its packaged configuration it is 0, which forbids the WAL
        # fixed ports by default, on every interface: a second instance would not start
        "monitoring-address": LOOPBACK,
        "monitoring-port": ports[0],
        "metrics-address": LOOPBACK,
        "metrics-port": ports[1],
    }
    return ProcessSpec(
        command=[*command, *(f"--{name}={value}" for name, value in flags.items())],
        cwd=data,
        version=f"Memgraph ({command[0]})",
    )
