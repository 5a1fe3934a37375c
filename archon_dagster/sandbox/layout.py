"""Where the sandbox keeps things: everything under one directory, so that two sandboxes never meet.

::

    <home>/platform/        the platform's project directory: .env, config/
    <home>/services/<name>/ what runs for a service, its log
    <home>/externals/<name>/ the same for what a real platform has elsewhere: Ollama, Supabase
    <home>/data/<store>/    what a store keeps
    <home>/sandbox/         the sandbox's own notes: its lock, whom it belongs to
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from archon_dagster.errors import ConfigurationError

_MARKER = ".made-by-archon-sandbox"
_MARKER_TEXT = "This directory was made by 'archon sandbox up', which may write its files again.\n"

EXTERNALS = ("ollama", "supabase")
"""What the platform uses and does not have: the sandbox runs stand-ins that the platform's runtime does not see."""

STAND_INS = (
    *("archon-bridge", "archon-intelligence", "archon-search", "archon-mcp", "archon-agents", "archon-frontend"),
    *EXTERNALS,
)
"""The services that are not the real programs."""

DATA_OF_STORE = {"vectors": "qdrant", "graph": "graph", "relational": "postgres"}
SERVICE_OF_STORE = {"vectors": "qdrant", "graph": "memgraph", "relational": "postgres"}


@dataclass(frozen=True, slots=True)
class Layout:
    """The directories and files of one sandbox."""

    home: Path

    @property
    def platform(self) -> Path:
        return self.home / "platform"

    @property
    def env_file(self) -> Path:
        return self.platform / ".env"

    @property
    def services(self) -> Path:
        return self.home / "services"

    @property
    def externals(self) -> Path:
        return self.home / "externals"

    def directory(self, service: str) -> Path:
        """The directory of one service."""
        return (self.externals if service in EXTERNALS else self.services) / service

    @property
    def notes(self) -> Path:
        return self.home / "sandbox"

    @property
    def lock(self) -> Path:
        return self.notes / "lock"

    @property
    def owner(self) -> Path:
        """Whom the running sandbox belongs to; absent: to nobody."""
        return self.notes / "owner.json"

    @property
    def variables(self) -> Path:
        """The sandbox's own copy of what the ``.env`` says about its servers."""
        return self.notes / "variables.json"

    def data(self, store: str) -> Path:
        """Where the server of a store keeps its files."""
        return self.home / "data" / DATA_OF_STORE[store]

    def made_here(self) -> bool:
        """Whether the platform directory was made by a sandbox."""
        return (self.platform / _MARKER).is_file()


def layout_of(home: Path) -> Layout:
    return Layout(home.expanduser().resolve())


def prepare(layout: Layout) -> None:
    """Make the directories; refuses a platform directory with content that is not the sandbox's own."""
    if not layout.made_here() and layout.platform.is_dir() and any(layout.platform.iterdir()):
        raise ConfigurationError(
            "there is a platform already that the sandbox did not make, and it is left as it is",
            where=str(layout.platform),
            todo="use another ARCHON_HOME for the sandbox, or move that directory away",
        )
    for directory in (layout.platform, layout.services, layout.externals, layout.notes, layout.home / "data"):
        directory.mkdir(parents=True, exist_ok=True)
    for store in ("vectors", "graph"):  # PostgreSQL makes its own, which may belong to another user
        layout.data(store).mkdir(mode=0o700, exist_ok=True)
    (layout.platform / _MARKER).write_text(_MARKER_TEXT)
