"""The command line that starts the server; no heavy import, so that a supervisor can build it anywhere."""

from pathlib import Path

VERSION = "1.18.3"
"""The Qdrant version the answers are modelled on, and what ``GET /`` says unless told otherwise."""


def command(
    *, python: str, port: int, storage: Path, snapshots: Path, host: str = "127.0.0.1", version: str = VERSION
) -> list[str]:
    """Arguments of the server process.

    Its API keys come from ``QDRANT__SERVICE__API_KEY`` and ``QDRANT__SERVICE__READ_ONLY_API_KEY`` in the environment,
    as they do for the real server, so that they never show in a process list.
    """
    arguments = ["--host", host, "--port", str(port), "--storage", str(storage), "--snapshots", str(snapshots)]
    return [python, "-m", "archon_dagster.sandbox.vectors", *arguments, "--version", version]
