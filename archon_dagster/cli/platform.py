"""`archon fingerprint`."""

from __future__ import annotations

import time

from archon_dagster.cli.backups import Json, Only, stores_named
from archon_dagster.cli.operations import run_here
from archon_dagster.cli.output import console, print_json, table
from archon_dagster.context import OperationContext
from archon_dagster.platform.settings import load_settings
from archon_dagster.repository.manifest import Fingerprint
from archon_dagster.stores.base import STORES, StoreName


def fingerprint(only: Only = None, as_json: Json = False) -> None:
    """Fingerprint the live stores: the same content gives the same digest, in whatever order it is stored."""
    names = stores_named(only) or STORES

    def measure(context: OperationContext) -> dict[StoreName, tuple[Fingerprint, float]]:
        found: dict[StoreName, tuple[Fingerprint, float]] = {}
        for name in names:
            started = time.monotonic()
            with context.work() as work:
                found[name] = context.stores[name].fingerprint(work), time.monotonic() - started
        return found

    found = run_here(load_settings(), measure, quiet=as_json)
    if as_json:
        print_json({name: {"digest": one.digest, **one.model_dump()} for name, (one, _) in found.items()})
        return
    for name, (one, seconds) in found.items():
        rows = [(part, f"{value.count:,}", value.digest[:12]) for part, value in sorted(one.parts.items())]
        title = f"{name}  {one.digest[:12]}  ({one.scope}, {seconds:.2f} s)"
        console.print(table(title, ("part", "records", "digest"), rows, right=("records",)))
