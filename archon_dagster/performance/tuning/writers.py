"""Who else writes these settings. A service that does undoes any tuning, without a word and at once.

The search service PATCHes both of its collections after *every* document that it has indexed, unless
``AUTO_REFRESH_ENABLED=false`` (so its source says). The health monitor's end-to-end test indexes a document, so with
that habit no tuning outlives ten minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from archon_dagster.performance.tuning.options import Value
from archon_dagster.platform.settings import Settings


@dataclass(frozen=True)
class Writer:
    """A service that writes settings of collections.

    :param values: what it writes. :param variable: what in the platform's ``.env`` stops it when it says ``false``.
    """

    service: str
    collections: tuple[str, ...]
    values: Mapping[str, Value]
    when: str
    variable: str


WRITERS = (
    Writer(
        "archon-search",
        ("archon_vectors", "quality_vectors"),
        {"indexing_threshold": 1000, "flush_interval_sec": 5},
        "after every document it has indexed",
        "AUTO_REFRESH_ENABLED",
    ),
)
_OFF = ("0", "false", "no", "off")


def writer_of(collection: str, live: Mapping[str, object]) -> Writer | None:
    """Whose values these are; ``None`` for values that no service of the platform is known to write."""
    return next(
        (one for one in WRITERS if collection in one.collections
         and all(live.get(name) == value for name, value in one.values.items())), None
    )  # fmt: skip


def at_work(settings: Settings, collection: str, names: Mapping[str, Value]) -> Writer | None:
    """The service that will write over these settings, as the platform's ``.env`` stands."""
    for one in WRITERS:
        undone = any(name in names and names[name] != value for name, value in one.values.items())
        if collection in one.collections and undone and _enabled(settings.project_dir / ".env", one.variable):
            return one
    return None


def how_to_stop(writer: Writer, settings: Settings) -> str:
    """What to do, in a sentence."""
    if _enabled(settings.project_dir / ".env", writer.variable):
        return (
            f"set {writer.variable}=false in a copy of the platform's .env and apply it: archon config apply FILE "
            "--confirm APPLY; then tune again"
        )
    return (
        f"the platform's .env says {writer.variable}=false, so {writer.service} runs on an older one: "
        f"recreate it (a restart reads no environment), then tune again"
    )


def _enabled(file: Path, variable: str) -> bool:
    """What the service makes of the variable; without one it writes."""
    value = dotenv_values(file).get(variable) if file.is_file() else None
    return (value or "true").strip().lower() not in _OFF
