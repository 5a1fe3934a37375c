"""What changes from one file to another. Values are compared as their readers see them, references resolved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from archon_dagster.configuration.envfile import parse
from archon_dagster.configuration.values import shown
from archon_dagster.configuration.variables import is_secret, readers_of
from archon_dagster.platform.services import CATALOGUE

How = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True)
class VariableChange:
    """One variable that is not what it was; ``before`` and ``after`` as they may be shown."""

    key: str
    how: How
    before: str
    after: str
    readers: tuple[str, ...]

    @property
    def line(self) -> str:
        """The whole as one line."""
        if self.how == "changed":
            said = "changed (secret)" if is_secret(self.key) else f"{self.before} -> {self.after}"
            return f"{self.key}: {said}"
        return f"{self.key}: {self.how}, {self.after if self.how == 'added' else f'was {self.before}'}"


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything that changes.

    :param text_only: no variable changes, but remarks, order or spelling do.
    """

    changes: tuple[VariableChange, ...] = ()
    text_only: bool = False

    @property
    def readers(self) -> tuple[str, ...]:
        """The services that read something of it, in the catalogue's order."""
        wanted = {name for change in self.changes for name in change.readers}
        return tuple(service.name for service in CATALOGUE if service.name in wanted)

    @property
    def lines(self) -> list[str]:
        return [change.line for change in self.changes] or (["remarks and spelling only"] if self.text_only else [])


def difference(before: bytes | None, after: bytes | None) -> Difference:
    """From one file's bytes to another's; ``None`` is a file that is not there."""
    old, new = _values(before), _values(after)
    changes = tuple(_change(key, old.get(key), new.get(key)) for key in _changed(old, new))
    return Difference(changes, text_only=not changes and before != after)


def _values(content: bytes | None) -> dict[str, str]:
    return {key: found.value for key, found in parse(content or b"").values.items()}


def _changed(old: dict[str, str], new: dict[str, str]) -> Iterable[str]:
    return sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))


def _change(key: str, old: str | None, new: str | None) -> VariableChange:
    how: How = "added" if old is None else "removed" if new is None else "changed"
    return VariableChange(key, how, shown(key, old or ""), shown(key, new or ""), readers_of(key))
