"""What scaling has set in the ``.env`` stays when the file is changed, and is nobody's change by hand.

How often services run and what they may use stands in the same file as everything else, because compose reads it
there; ``archon scale``, the autoscaler and resource profiles write it
(:mod:`archon_dagster.platform.runtime.compose_variables`). A file that does not name these variables has nothing
against them, and going back to an earlier file is no wish to go back to an earlier load.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from archon_dagster.configuration.envfile import parse
from archon_dagster.platform.runtime.compose_variables import ALL, changed

_PLAIN = re.compile(r"[\w.]+", re.ASCII)


def rest(content: bytes | None, without: Collection[str] = ALL) -> bytes:
    """A file without them; two files with the same rest differ in nothing that an operator has written."""
    text = _text(content)
    if text is None:
        return content or b""
    left = changed(text, dict.fromkeys(without))
    return (left if left.endswith("\n") or not left else f"{left}\n").encode()


def carried(content: bytes, present: bytes | None) -> tuple[bytes, dict[str, str]]:
    """A new file with those of the present one that it does not name; and which these are."""
    text, named = _text(content), parse(content).values
    missing = {name: value for name, value in _set(present).items() if name not in named}
    if text is None or not missing:
        return content, {}
    return changed(text, missing).encode(), missing


def undone(before: bytes | None, after: bytes | None, present: bytes | None) -> bytes | None:
    """The file before a change, with what scaling has set since: only what the change itself has set is taken back."""
    old, new, now = _set(before), _set(after), _set(present)

    def wanted(name: str) -> str | None:
        of_the_change = old.get(name) != new.get(name) and now.get(name) == new.get(name)
        return old.get(name) if of_the_change else now.get(name)

    other = {name: wanted(name) for name in sorted(ALL) if wanted(name) != old.get(name)}
    text = _text(before)
    return before if text is None or not other else changed(text, other).encode()


def _set(content: bytes | None) -> dict[str, str]:
    """Those that a file sets, references resolved; not what is no value, which is said where a file is validated."""
    found = {name: one.value for name, one in parse(content or b"").values.items() if name in ALL and not one.broken}
    return {name: value for name, value in found.items() if _PLAIN.fullmatch(value)}


def _text(content: bytes | None) -> str | None:
    """``None`` for what is no text: it is left as it is."""
    try:
        return (content or b"").decode()
    except UnicodeDecodeError:
        return None
