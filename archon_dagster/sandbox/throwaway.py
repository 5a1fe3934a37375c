"""A second sandbox with the servers of a few stores and nothing else, which goes with the process it is for.

It is a sandbox like any other, in a directory of its own: :func:`archon_dagster.sandbox.lifecycle.down` stops it, and
should its owner be killed, the guardian does. Whoever made the directory removes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from archon_dagster.sandbox import environment as env
from archon_dagster.sandbox import ownership
from archon_dagster.sandbox.layout import Layout, layout_of, prepare
from archon_dagster.sandbox.starting import Sandbox, Start
from archon_dagster.sandbox.support import check_supported


class _Heeding(Start):
    """A start that can be cancelled. :param check: raises when nobody wants it any more."""

    def __init__(self, layout: Layout, check: Callable[[], None]):
        super().__init__(layout, None, known_servers=True)
        self._heed = check

    def _check(self) -> None:
        self._heed()
        super()._check()


def up(home: Path, services: Sequence[str], *, like: Path, owner_pid: int, check: Callable[[], None]) -> Sandbox:
    """Start empty servers and wait until they are ready.

    :param like: home of the sandbox whose programs are used: a real Qdrant or Memgraph where it has one.
    :param owner_pid: the process whose end is theirs.
    :raises ServiceError: one did not start; those that did are stopped again.
    """
    check_supported()
    layout, known = layout_of(home), env.read(layout_of(like))
    prepare(layout)
    env.write(layout, {name: known[name] for name in (env.REAL_QDRANT, env.REAL_MEMGRAPH) if known.get(name)})
    begun = _Heeding(layout, check)
    ownership.claim(layout, owner_pid)
    try:
        return begun.run(services)
    except BaseException:
        begun.undo()
        raise
