"""What of a compose project is set by variables of its ``.env``: how often a service runs, and what it may use.

There, and in no override file, because whoever types ``docker compose up -d`` the next time reads the ``.env`` and
would drop the override. Every other line of the file stays as it is. A variable counts only where the compose file
reads it: compose itself is asked, before anything is written.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from dotenv.parser import parse_stream
from dotenv.variables import parse_variables

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform import env_file
from archon_dagster.platform.limits import Resources, size, size_text
from archon_dagster.platform.runtime.compose_project import ComposeProject
from archon_dagster.platform.services import CATALOGUE

T = TypeVar("T")

REPLICAS = "REPLICAS"
_CPUS, _MEMORY, _RESERVED_CPUS, _RESERVED_MEMORY = "CPUS", "MEMORY", "CPUS_RESERVED", "MEMORY_RESERVED"
LIMITS = (_CPUS, _MEMORY, _RESERVED_CPUS, _RESERVED_MEMORY)


def variable(service: str, what: str) -> str:
    """``SEARCH_REPLICAS`` is how often archon-search runs, ``QDRANT_MEMORY`` what qdrant may use."""
    return f"{service.removeprefix('archon-').replace('-', '_').upper()}_{what}"


COUNTS = frozenset(variable(one.name, REPLICAS) for one in CATALOGUE if not one.external)
"""How often services run: what the autoscaler sets."""

ALL = COUNTS | {variable(one.name, what) for one in CATALOGUE if not one.external for what in LIMITS}
"""Every variable that is set from here; the rest of the file is an operator's."""


def wanted(config: Mapping[str, Any], service: str) -> int:
    """How often a service of a resolved project runs."""
    one = config.get("services", {}).get(service, {})
    count = one.get("deploy", {}).get("replicas", one.get("scale", 1))
    return 1 if count is None else int(count)


def fixed(project: ComposeProject, service: str) -> str:
    """Why a service cannot run more than once for good; empty where it can."""
    name = variable(service, REPLICAS)
    one = project.config(**{name: "7"})
    said = one.get("services", {}).get(service, {})
    if "container_name" in said:
        return f"the compose file gives it the container_name {said['container_name']}: there is one of a name"
    if any(port.get("published") for port in said.get("ports", [])):
        return "the compose file publishes a port of it: a second container finds the port taken; publish a balancer's"
    if wanted(one, service) != 7:
        return f"the compose file does not read {name}, so the next `up` would forget it: replicas: ${{{name}:-1}}"
    return ""


def count(project: ComposeProject, service: str, running: int) -> int:
    """How many containers there shall be of a service that is started or replaced: as many as the project says.

    Where the project cannot say it, there are as many as before: somebody has scaled it on a command line.
    """
    said = wanted(project.config(), service)
    return running if running > said and fixed(project, service) else said


def limits_of(project: ComposeProject, service: str) -> Resources | None:
    """What the ``.env`` says a service may use; ``None`` where that is left to the compose file.

    :raises ConfigurationError: a value is none; names the variable and the file.
    """
    known = read(project.env_file)
    cpus, memory, reserved_cpus, reserved_memory = (variable(service, what) for what in LIMITS)
    if not (known.get(cpus) and known.get(memory)):
        return None  # compose takes an empty value for none, as the files have `:-`

    def value(name: str, kind: Callable[[str], T], default: str = "") -> T:
        try:
            return kind(known.get(name) or default)
        except (ValueError, ConfigurationError) as error:
            wanted = "size of memory" if kind is size else "number of CPUs"
            raise ConfigurationError(
                f"{name} is {known[name]!r}, which is no {wanted}",
                where=str(project.env_file),
                todo="correct it there, or take it away; `archon config validate` of it finds what else there is",
            ) from error

    given = (
        value(cpus, float),
        value(memory, size),
        value(reserved_cpus, float, "0.01"),
        value(reserved_memory, size, "6M"),
    )
    try:
        return Resources(*given)
    except ConfigurationError as error:
        said = ", ".join(f"{name}={known[name]}" for name in (cpus, memory, reserved_cpus, reserved_memory)
                         if known.get(name))  # fmt: skip
        raise ConfigurationError(f"{error.what}: {said}", where=str(project.env_file), todo=error.todo) from error


def as_variables(service: str, limits: Resources | None) -> dict[str, str | None]:
    """Limits, as the ``.env`` says them."""
    if limits is None:
        return {variable(service, what): None for what in LIMITS}
    values = (
        f"{limits.cpus:g}",
        size_text(limits.memory),
        f"{limits.reserved_cpus:g}",
        size_text(limits.reserved_memory),
    )
    return {variable(service, what): value for what, value in zip(LIMITS, values, strict=True)}


def require_read(project: ComposeProject, wanted: Mapping[str, Resources]) -> None:
    """:class:`ConfigurationError` where the compose file would not follow the limits of a service; changes nothing."""
    named = {name: value for service, one in wanted.items() for name, value in as_variables(service, one).items()}
    resolved = project.config(**{name: value for name, value in named.items() if value is not None})
    said = {service: _said(resolved["services"].get(service, {})) for service in wanted}
    unread = [service for service, one in wanted.items() if said[service] != one]
    if not unread:
        return
    cpus, memory, reserved_cpus, reserved_memory = (variable(unread[0], what) for what in LIMITS)
    raise ConfigurationError(
        f"the compose file does not read the limits and reservations of {', '.join(unread)}; nothing was touched",
        where=str(project.directory),
        todo=f'{unread[0]}: {{deploy: {{resources: {{limits: {{cpus: "${{{cpus}:-2}}", memory: "${{{memory}:-2g}}"}}, '
        f'reservations: {{cpus: "${{{reserved_cpus}:-0.1}}", memory: "${{{reserved_memory}:-128m}}"}}}}}}}}, '
        "as in docker/platform/compose.yaml",
    )


def _said(definition: Mapping[str, Any]) -> Resources | None:
    """What a service of a resolved project may use; ``None`` where not all four are said."""
    found = definition.get("deploy", {}).get("resources", {})
    parts = [found.get(part, {}).get(what) for part in ("limits", "reservations") for what in ("cpus", "memory")]
    if not all(parts):
        return None
    cpus, memory, reserved_cpus, reserved_memory = parts
    try:
        return Resources(float(cpus), int(memory), float(reserved_cpus), int(reserved_memory))
    except ConfigurationError:  # it has a value of its own for one of them
        return None


def read(file: Path) -> dict[str, str]:
    """The variables of an ``.env``, references resolved within it: compose gets nothing else from here."""
    known: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(_text(file), newline="")):
        if binding.key and binding.value is not None:
            known[binding.key] = "".join(atom.resolve(known) for atom in parse_variables(binding.value))
    return known


def write(file: Path, values: Mapping[str, str | None]) -> None:
    """Set variables, or take them away (``None``); every other byte stays."""
    env_file.write(file, changed(_text(file), values).encode())


def changed(text: str, values: Mapping[str, str | None]) -> str:
    """The text of an ``.env`` with variables set, or taken away."""
    left, parts = {name: value for name, value in values.items() if value is not None}, []
    for binding in parse_stream(io.StringIO(text, newline="")):
        original = binding.original.string
        key = binding.key
        if key is None or key not in values:
            parts.append(original)
            continue
        kept = original[: original.index(key)].removesuffix("export ")  # blank lines and remarks before it
        value = left.pop(key, None)
        parts.append(kept if value is None else f"{kept}{key}={value}\n")
    if left and parts and not "".join(parts).endswith("\n"):
        parts.append("\n")
    return "".join((*parts, *(f"{name}={value}\n" for name, value in left.items())))


def _text(file: Path) -> str:
    try:
        return (env_file.read(file) or b"").decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            "the project's .env is not UTF-8 text; nothing was touched", where=str(file), todo="write it as text"
        ) from error
