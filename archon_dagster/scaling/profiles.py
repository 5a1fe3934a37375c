"""The resource profiles of the runbook, one of the operator's own, and whether a host can carry them.

A host must have every reservation of all replicas of all services together, and no limit may exceed what it has at all
(the engine refuses more CPUs than there are). Limits together may exceed it: not everybody is busy at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.limits import Host, Resources, size, size_text
from archon_dagster.platform.services import BY_NAME
from archon_dagster.scaling.room import Reserved

CUSTOM = "custom"
_GIB = 2**30
_NOTHING = Reserved()
_QDRANT = Resources(2.0, 4 * _GIB, 0.5, _GIB)


@dataclass(frozen=True)
class Profile:
    """What each service named in it may use; the others are left as they are."""

    name: str
    services: Mapping[str, Resources]


def _both(name: str, resources: Resources) -> Profile:
    """The runbook gives search and intelligence the same, and Qdrant always as much."""
    return Profile(name, {"qdrant": _QDRANT, "archon-intelligence": resources, "archon-search": resources})


PROFILES: dict[str, Profile] = {
    one.name: one
    for one in (
        _both("development", Resources(1.0, 2 * _GIB, 0.5, _GIB // 2)),
        _both("staging", Resources(2.0, 4 * _GIB, 0.5, _GIB)),
        _both("production", Resources(4.0, 8 * _GIB, 0.5, 2 * _GIB)),
    )
}


def profile(name: str, custom: Mapping[str, Mapping[str, Any]] | None = None) -> Profile:
    """A profile by its name.

    :param custom: with the name ``custom``: for each service ``cpus`` and ``memory``, and ``reserved_cpus`` and
        ``reserved_memory`` where they are not the default.
    :raises ConfigurationError: there is no such profile, or its values are not usable.
    """
    if name == CUSTOM:
        return Profile(CUSTOM, _read(custom or {}))
    if custom:
        raise ConfigurationError(f"the profile {name} has its own values", todo=f"choose {CUSTOM} for yours")
    if name not in PROFILES:
        raise ConfigurationError(
            f"no such resource profile: {name!r}; nothing was touched",
            todo=f"profiles are {', '.join([*PROFILES, CUSTOM])}",
        )
    return PROFILES[name]


def _read(values: Mapping[str, Mapping[str, Any]]) -> dict[str, Resources]:
    if not values:
        raise ConfigurationError("a custom profile without values", todo="name a service with its cpus and memory")
    return {service: _of_service(service, value) for service, value in values.items()}


def _of_service(service: str, value: Mapping[str, Any]) -> Resources:
    if service not in BY_NAME or BY_NAME[service].external:
        ours = ", ".join(one.name for one in BY_NAME.values() if not one.external)
        raise ConfigurationError(f"no such service in a profile: {service}", todo=f"services are {ours}")
    known: dict[str, Callable[[Any], Any]] = {
        "cpus": float,
        "memory": _size,
        "reserved_cpus": float,
        "reserved_memory": _size,
    }
    if missing := {"cpus", "memory"} - value.keys():
        raise ConfigurationError(f"{service}: {', '.join(sorted(missing))} not given", todo="give both limits")
    if unknown := value.keys() - known.keys():
        raise ConfigurationError(f"{service}: unknown: {', '.join(sorted(unknown))}", todo=f"known: {', '.join(known)}")
    try:
        return Resources(**{key: known[key](given) for key, given in value.items()})
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"{service}: a value is no number: {error}", todo="cpus as 1.5, memory as 2G"
        ) from error
    except ConfigurationError as error:
        raise ConfigurationError(f"{service}: {error.what}", todo=error.todo) from error


def _size(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else size(str(value))


def require_host(
    chosen: Profile, host: Host, replicas: Mapping[str, int] | None = None, beside: Reserved = _NOTHING
) -> None:
    """Raise :class:`ConfigurationError` with everything that is too much for a host; before anything is touched.

    :param replicas: how often a service runs; once where it is not named.
    :param beside: what the services have reserved that are not in the profile.
    """
    if too_much := _too_much(chosen, host, replicas or {}, beside):
        raise ConfigurationError(
            f"this host cannot carry the profile {chosen.name}: {'; '.join(too_much)}; nothing was touched",
            where=f"{host.cpus} CPUs, {host.memory / _GIB:.1f} GiB of memory",
            todo="choose a smaller profile, or a custom one",
        )


def _too_much(chosen: Profile, host: Host, replicas: Mapping[str, int], beside: Reserved) -> list[str]:
    found = []
    for name, one in chosen.services.items():
        if one.cpus > host.cpus:
            found.append(f"{name} may use {one.cpus:g} CPUs")
        if one.memory > host.memory:
            found.append(f"{name} may use {size_text(one.memory)}")
    cpus = sum(one.reserved_cpus * replicas.get(name, 1) for name, one in chosen.services.items())
    memory = sum(one.reserved_memory * replicas.get(name, 1) for name, one in chosen.services.items())
    if cpus + beside.cpus > host.cpus:
        found.append(f"{cpus:g} CPUs are reserved in all{beside.words}")
    if memory + beside.memory > host.memory:
        found.append(f"{size_text(memory)} are reserved in all{beside.words}")
    return found
