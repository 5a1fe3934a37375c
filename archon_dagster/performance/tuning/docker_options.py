"""Which settings of the Docker daemon can be proposed, which values they take, and what is refused with a reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from archon_dagster.errors import ConfigurationError
from archon_dagster.performance.tuning.options import NO_JVM, refusal

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Key:
    """One setting that can be proposed. :param parse: :class:`ValueError` in words for what it cannot be."""

    name: str
    parse: Callable[[str], Any]
    recommended: Any = None


def _size(text: str) -> str:
    if not re.fullmatch(r"[1-9]\d*[kmg]", text):
        raise ValueError(f"{text!r} is no size such as 10m")
    return text


def _count(text: str) -> str:
    if not re.fullmatch(r"[1-9]\d{0,3}", text):
        raise ValueError(f"{text!r} is no number from 1 to 9999")
    return text  # the daemon wants text


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"{text!r} is neither true nor false")
    return text == "true"


def _files(text: str) -> Json:
    if not re.fullmatch(r"\d{4,7}", text):
        raise ValueError(f"{text!r} is no number of files from 1000 on")
    return {"Name": "nofile", "Hard": int(text), "Soft": int(text)}


KEYS: dict[str, Key] = {
    key.name: key
    for key in (
        Key("log-opts.max-size", _size, "10m"),
        Key("log-opts.max-file", _count, "3"),
        Key("live-restore", _flag, True),
        Key("default-ulimits.nofile", _files),
    )
}
_NEVER = {
    "storage-driver": "with another one every image and container of the engine is out of sight",
    "data-root": "with another one every image, container and volume of the engine is out of sight",
    "log-driver": "with another one the logs so far cannot be read by docker logs any more",
}


def wanted(pairs: Sequence[str]) -> dict[str, Any]:
    """``NAME=VALUE`` pairs as values; without any the recommended ones.

    :raises ConfigurationError: names every wrong one, and why it is refused.
    """
    found: dict[str, Any] = {}
    wrong = []
    for pair in pairs:
        name, _, text = pair.partition("=")
        if name not in KEYS:
            wrong.append(f"{name}: {_NEVER.get(name) or _foreign(name)}")
            continue
        try:
            found[name] = KEYS[name].parse(text)
        except ValueError as error:
            wrong.append(f"{name}: {error}")
    if wrong:
        raise ConfigurationError(
            f"refused, nothing was written: {'; '.join(wrong)}", todo=f"what can be proposed: {', '.join(KEYS)}"
        )
    return found or {name: key.recommended for name, key in KEYS.items() if key.recommended is not None}


def _foreign(name: str) -> str:
    return NO_JVM if refusal(name) == NO_JVM else "it is not among what is proposed here; set it by hand"
