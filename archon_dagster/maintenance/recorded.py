"""Which images the services ran on before the last security update: what is gone back to."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

from archon_dagster.platform.whole_files import read, write


class Recorded(BaseModel):
    """Before an update. Times are seconds since the epoch.

    :param references: the name in the compose file, by service. :param ids: the image it stood for.
    """

    model_config = ConfigDict(frozen=True)

    at: float
    references: dict[str, str] = {}
    ids: dict[str, str] = {}
    digests: dict[str, str] = {}
    revision: str | None = None
    backup: str = ""


_FILE: TypeAdapter[Recorded] = TypeAdapter(Recorded)


def path(home: Path) -> Path:
    """Where it is."""
    return home / "maintenance" / "images.json"


def load(home: Path) -> Recorded | None:
    """The last record; ``None`` where there is none."""
    return read(path(home), _FILE)


def save(home: Path, record: Recorded) -> None:
    """Replace it in one step."""
    write(path(home), _FILE, record)


def images(home: Path) -> frozenset[str]:
    """The ids that must stay."""
    record = load(home)
    return frozenset(record.ids.values()) if record else frozenset()
