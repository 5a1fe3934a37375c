"""Is one value what its variable wants. Every answer is a sentence without the value where that is a secret."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter, ValidationError

from archon_dagster.configuration.variables import SETTINGS, TABLE, Variable, is_secret
from archon_dagster.platform.settings import Settings

FLAGS = {"true": True, "false": False}
_PASSWORD = re.compile(r"(?<=://)[^\s/@]*:[^\s/@]*@")
_HOST = re.compile(r"(?!-)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]+")
_WHOLE = re.compile(r"-?\d{1,20}")


def shown(name: str, value: str) -> str:
    """A value as it may be shown: nothing of a secret, no password of a URL, not too long."""
    if not value:
        return "empty"
    if is_secret(name):
        return "(hidden)"
    without = _PASSWORD.sub("…@", value)
    return repr(without if len(without) <= 60 else f"{without[:59]}…")


def wrong(name: str, value: str) -> str | None:
    """What is wrong with a value, as the end of a sentence that begins with the variable; ``None``: nothing.

    An empty value counts as not set, and is nobody's business here.
    """
    if not value:
        return None
    if any(not letter.isprintable() and letter != "\n" for letter in value):
        return "has a character that cannot be printed"
    if name in TABLE:
        variable = TABLE[name]
        if "\n" in value:
            return "goes over several lines"
        return _KINDS[variable.kind](variable, value)
    return _wrong_setting(name, value) if name in SETTINGS else None


def number(value: str) -> int | None:
    """A whole number as it is written in a file; ``None`` for anything else, also for one of absurd length."""
    return int(value) if value.isascii() and _WHOLE.fullmatch(value) else None


def _text(_: Variable, value: str) -> str | None:
    return "begins or ends with a space" if value != value.strip() else None


def _secret(_: Variable, value: str) -> str | None:
    return "has a space in it" if value.split() != [value] else None


def _flag(variable: Variable, value: str) -> str | None:
    return None if value in FLAGS else f"is {shown(variable.name, value)}, it must be true or false"


def _choice(variable: Variable, value: str) -> str | None:
    if value in variable.choices:
        return None
    return f"is {shown(variable.name, value)}, it must be one of {', '.join(variable.choices)}"


def _whole(variable: Variable, value: str) -> str | None:
    low, high, unit = variable.lowest, variable.highest, f" {variable.unit}" if variable.unit else ""
    found = number(value)
    if found is None:
        return f"is {shown(variable.name, value)}, it must be a whole number from {low} to {high}{unit}"
    return None if low <= found <= high else f"is {value}, it must be from {low} to {high}{unit}"


def _port(variable: Variable, value: str) -> str | None:
    if (found := number(value)) is not None and 1 <= found <= 65535:
        return None
    return f"is {shown(variable.name, value)}, it must be a port from 1 to 65535"


def _http(variable: Variable, value: str) -> str | None:
    said = wrong_url(value, ("http", "https"))
    return f"is {shown(variable.name, value)}: {said}" if said else None


def _bolt(variable: Variable, value: str) -> str | None:
    schemes = ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc")
    said = wrong_url(value, schemes)
    return f"is {shown(variable.name, value)}: {said}" if said else None


def _origins(variable: Variable, value: str) -> str | None:
    """A list of origins with commas, or ``*``; an origin is scheme, host and port, and no path."""
    for origin in (one.strip() for one in value.split(",")):
        if origin == "*":
            continue
        said = wrong_url(origin, ("http", "https"))
        if said is None and urlsplit(origin).path:
            said = "an origin has no path, not even a slash at its end"
        if said is not None:
            return f"has the origin {shown(variable.name, origin)}: {said}"
    return None


def _zone(variable: Variable, value: str) -> str | None:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        return f"is {shown(variable.name, value)}, it must be a time zone such as Europe/Paris"
    return None


_KINDS: dict[str, Callable[[Variable, str], str | None]] = {
    "text": _text, "secret": _secret, "flag": _flag, "choice": _choice, "whole": _whole, "port": _port,
    "http": _http, "bolt": _bolt, "origins": _origins, "zone": _zone,
}  # fmt: skip


def wrong_url(value: str, schemes: tuple[str, ...]) -> str | None:
    """What is wrong with an address."""
    if value.split() != [value]:
        return "there is a space in it"
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return "its port or its host cannot be understood"
    if parts.scheme not in schemes:
        return f"it must begin with {' or '.join(f'{one}://' for one in schemes[:2])}"
    if not _is_host(parts) or (port is not None and port == 0) or parts.netloc.endswith(":"):
        return "it needs a host, and a port from 1 to 65535 or none"
    return "it must not have a ? or a # part" if parts.query or parts.fragment else None


def _is_host(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    return bool(_HOST.fullmatch(host) or ("[" in parts.netloc and _IPV6.fullmatch(host)))


def _wrong_setting(name: str, value: str) -> str | None:
    """A variable of the control plane, by the setting's own type; lists and tables are written as JSON."""
    field = Settings.model_fields[SETTINGS[name]]
    kind: Any = Annotated[field.annotation, "setting", *field.metadata]
    try:
        TypeAdapter(kind).validate_python(_decoded(field.annotation, value))
    except RecursionError:
        return "is nested too deeply"
    except ValueError as error:
        said = error.errors(include_input=False)[0]["msg"] if isinstance(error, ValidationError) else "it is not JSON"
        return f"is {shown(name, value)}: {said}"
    return None


def _decoded(kind: Any, value: str) -> Any:
    return json.loads(value) if str(kind).startswith(("dict", "tuple")) else value
