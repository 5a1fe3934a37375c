"""Which images the services ran on before the last security update: what is gone back to."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

from archon_dagster.platform.whole_files import read, write


class Recorded(BaseModel):
    """Before an update. Times are seconds since the epoch.

    :param references: the name in the compose file, by service. :param ids: the image it stood for.
    :param replaced: images that earlier updates, or a way back, have put others in the place of. Only this record knows
        that they were of this platform: what is pulled carries no label of ours.
    """

    model_config = ConfigDict(frozen=True)

    at: float
    references: dict[str, str] = {}
    ids: dict[str, str] = {}
    digests: dict[str, str] = {}
    revision: str | None = None
    backup: str = ""
    replaced: tuple[str, ...] = ()

    def leaving(self, images: Iterable[str]) -> Recorded:
        """The same, with these among the replaced ones, but for what is gone back to."""
        return self.model_copy(update={"replaced": tuple(sorted({*self.replaced, *images} - set(self.ids.values())))})


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


def begin(home: Path, record: Recorded) -> Recorded:
    """Save the record of a new update: what the one before went back to is replaced from now on."""
    last = load(home)
    if last is not None:
        record = record.leaving((*last.replaced, *last.ids.values()))
    save(home, record)
    return record


def forget(home: Path, gone: Collection[str]) -> None:
    """These replaced images are not there any more."""
    record = load(home)
    if record is not None and gone:
        left = tuple(image for image in record.replaced if image not in gone)
        save(home, record.model_copy(update={"replaced": left}))


def images(home: Path) -> frozenset[str]:
    """The ids that must stay."""
    record = load(home)
    return frozenset(record.ids.values()) if record else frozenset()


def replaced(home: Path) -> tuple[str, ...]:
    """The ids that nobody here needs any more."""
    record = load(home)
    return record.replaced if record else ()
