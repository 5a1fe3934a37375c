"""Is one value what its variable wants. Every answer is a sentence without the value where that is a secret."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo

from pydantic import SecretStr

from archon_dagster.alerts.channels import channels_of
from archon_dagster.configuration.variables import Kind, Variable, is_secret, variable_of
from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.limits import LEAST_MEMORY, size, size_text
from archon_dagster.stores.relational import dsn

FLAGS = {"true": True, "false": False}
_PASSWORD = re.compile(r"(?<=://)[^\s/@]*:[^\s/@]*@")
_HOST_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"  # of RFC 1123, and _ as in names of compose services
_HOST = re.compile(rf"{_HOST_LABEL}(?:\.{_HOST_LABEL})*")
_LONGEST_HOST = 253  # characters
_IN_BRACKETS = re.compile(r"(?:.*@)?\[([^\[\]]*)\](?::\d*)?")
_WHOLE = re.compile(r"-?\d{1,20}")
_CPUS = re.compile(r"\d{1,4}(\.\d{1,9})?", re.ASCII)
_MEMORY = re.compile(r"\d{1,15}(\.\d{1,9})?[bkmg]?b?", re.ASCII | re.IGNORECASE)
_ZERO_PORT = re.compile(r"^\w+://[^/?#]*:0+(?=[/?#]|$)")
_PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:{_LABEL}(?:\.{_LABEL})*(?::\d{{1,5}})?/)?{_PART}(?:/{_PART})*(?::\w[\w.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?",
    re.ASCII,
)
_LONGEST_IMAGE = 255 + 128 + 72  # characters: the name, a tag, a digest
_LEAST_CPUS, _MOST_CPUS = 0.01, 1024.0


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

    An empty value counts as not set, and is nobody's business here; nor is what only the control plane's settings know.
    """
    if not value:
        return None
    if any(not letter.isprintable() and letter != "\n" for letter in value):
        return "has a character that cannot be printed"
    variable = variable_of(name)
    if variable is None:
        return None
    if "\n" in value and variable.kind != "channels":
        return "goes over several lines"
    return _KINDS[variable.kind](variable, value)


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


def _host(variable: Variable, value: str) -> str | None:
    """A name or an address without a port; in the setting of the services' host, ``{service}`` is one's name."""
    plain = value.replace("{service}", "x") if variable.name == "ARCHON_SERVICE_HOST" else value
    if _is_name(plain) or _is_address(plain):
        return None
    return f"is {shown(variable.name, value)}, it must be the name or the address of a host, without a port"


def _bind(variable: Variable, value: str) -> str | None:
    if _is_address(value):
        return None
    return f"is {shown(variable.name, value)}, it must be an address of this host such as 127.0.0.1"


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _is_name(value: str) -> bool:
    """Whether it is the name of a host; what ends in a number is an IPv4 address, or nothing."""
    if len(value) > _LONGEST_HOST or not _HOST.fullmatch(value):
        return False
    return not value.rpartition(".")[2].isdigit() or _is_address(value)


def _dsn(variable: Variable, value: str) -> str | None:
    """Nothing of it is shown: a piece that cannot be read may be the password."""
    try:
        found = dsn.environment_of(value)
    except ConfigurationError:
        return "is none: it must be postgresql://user:password@host:5432/database (what is special in it %-encoded)"
    ports = [one for one in found.get("PGPORT", "").split(",") if one] or (["0"] if _ZERO_PORT.search(value) else [])
    if any((port := number(one)) is None or not 1 <= port <= 65535 for one in ports):
        return "has a port that is none"
    hosts = [one for one in found.get("PGHOST", "").split(",") if not one.startswith("/")]
    return None if all(_is_name(one) or _is_address(one) for one in hosts if one) else "has a host that is none"


def _callback(_: Variable, value: str) -> str | None:
    """An address that is itself a secret; it may have a query."""
    said = wrong_url(value.partition("?")[0], ("http", "https"))
    return f"is no address: {said}" if said else None


def _channels(_: Variable, value: str) -> str | None:
    wrong_ones = [number for number, one in enumerate(channels_of(SecretStr(value)), 1) if one.fault]
    if not wrong_ones:
        return None
    return f"has an entry that is no URL of a channel: number {', '.join(map(str, wrong_ones))}"


def _image(variable: Variable, value: str) -> str | None:
    if len(value) <= _LONGEST_IMAGE and _IMAGE.fullmatch(value):
        return None
    return f"is {shown(variable.name, value)}, it must be an image such as qdrant/qdrant:v1.7.4"


def _cpus(variable: Variable, value: str) -> str | None:
    if _CPUS.fullmatch(value) and _LEAST_CPUS <= float(value) <= _MOST_CPUS:
        return None
    return f"is {shown(variable.name, value)}, it must be a number of cores from {_LEAST_CPUS:g} to {_MOST_CPUS:g}"


def _memory(variable: Variable, value: str) -> str | None:
    if not _MEMORY.fullmatch(value):
        return f"is {shown(variable.name, value)}, it must be a size such as 512M or 4G"
    if size(value) < LEAST_MEMORY:
        return f"is {value}, less than the {size_text(LEAST_MEMORY)} that the Docker engine asks for"
    return None


def _project(variable: Variable, value: str) -> str | None:
    if _PROJECT.fullmatch(value):
        return None
    return f"is {shown(variable.name, value)}, it must be of small letters, digits, - and _, a letter or digit first"


def _repository(variable: Variable, value: str) -> str | None:
    """A directory, or ``s3://bucket/prefix``."""
    scheme, apart, rest = value.partition("://")
    if not apart:
        return _text(variable, value)
    if scheme == "file" and rest.startswith("/"):
        return None
    if scheme == "s3" and _HOST.fullmatch(rest.partition("/")[0]) and value.split() == [value]:
        return None
    return f"is {shown(variable.name, value)}, it must be a directory or s3://bucket/prefix"


_KINDS: dict[Kind, Callable[[Variable, str], str | None]] = {
    "text": _text, "secret": _secret, "flag": _flag, "choice": _choice, "whole": _whole, "port": _port,
    "http": _http, "bolt": _bolt, "origins": _origins, "zone": _zone, "host": _host, "bind": _bind, "dsn": _dsn,
    "callback": _callback, "channels": _channels, "image": _image, "cpus": _cpus, "memory": _memory,
    "project": _project, "repository": _repository,
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
    if "[" not in parts.netloc and "]" not in parts.netloc:
        return _is_name(parts.hostname or "")
    found = _IN_BRACKETS.fullmatch(parts.netloc)
    return found is not None and ":" in found[1] and "%" not in found[1] and _is_address(found[1])
