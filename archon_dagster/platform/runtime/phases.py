"""Which services something is done to, and in which order; the same for every runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.services import Service


def chosen(names: Sequence[str], have: tuple[str, ...], where: str, more: str) -> tuple[str, ...]:
    """The named ones in the order of ``have``, all where none is named.

    :param more: what to do where a service is missing.
    :raises ConfigurationError: one of the names is not in ``have``.
    """
    if unknown := [name for name in names if name not in have]:
        raise ConfigurationError(
            f"no such service here: {', '.join(unknown)}",
            where=where,
            todo=f"services here: {', '.join(have) or 'none'} ({more})",
        )
    return tuple(name for name in have if name in names) if names else have


def in_phases(
    names: Sequence[str],
    catalogue: Mapping[str, Service],
    verb: Callable[[str], None],
    *,
    backwards: bool = False,
    thorough: bool = False,
) -> None:
    """Do something to each service: phase after phase, those of a phase side by side; raise the first failure.

    A service outside the catalogue belongs to the first phase.

    :param backwards: dependents first.
    :param thorough: a failure is raised after the last phase only: one service that cannot be stopped or unpaused is
        no reason to leave the others as they are.
    """
    order = {name: catalogue[name].order if name in catalogue else 0 for name in names}
    failures: list[BaseException] = []
    for step in sorted(set(order.values()), reverse=backwards):
        phase = [name for name in names if order[name] == step]
        with ThreadPoolExecutor(max_workers=len(phase)) as pool:
            done = [pool.submit(verb, name) for name in phase]
        failures += [error for future in done if (error := future.exception()) is not None]
        if failures and not thorough:
            break
    if failures:
        raise failures[0]
