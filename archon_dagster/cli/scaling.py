"""`archon scale …`, `archon resources …` and `archon autoscale …`."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Annotated

import typer

from archon_dagster.cli.backups import Direct, Json
from archon_dagster.cli.operations import run_interruptible
from archon_dagster.cli.output import console, plain, print_json, table
from archon_dagster.cli.submit import submit
from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.runtime.protocol import Replicas
from archon_dagster.platform.settings import load_settings
from archon_dagster.scaling import apply as profiles
from archon_dagster.scaling import scale as scaling
from archon_dagster.scaling import watch
from archon_dagster.scaling.apply import Applied
from archon_dagster.scaling.context import open_scaling
from archon_dagster.scaling.scale import SERVICE
from archon_dagster.scaling.summary import LIMITS, REPLICAS, limit_rows, limits_text, notes, replica_rows

CLEANUP_LIMIT = 300.0  # seconds an interrupted change may take to go back

scale = typer.Typer(no_args_is_help=True)
resources = typer.Typer(no_args_is_help=True)
autoscale = typer.Typer(no_args_is_help=True)

Planned = Annotated[bool, typer.Option("--plan", help="Show what would be done; do nothing.")]


@scale.command("search")
def scale_search(
    replicas: Annotated[int, typer.Argument(help="How often the search service shall run.")],
    plan: Planned = False,
    direct: Direct = False,
    as_json: Json = False,
) -> None:
    """Run the search service so many times; one at a time, each behind a health gate, and back on failure."""
    settings = load_settings()
    if plan:
        made = scaling.plan(open_scaling(settings, threading.Event()), replicas)
        print_json(made) if as_json else _say(made.headline)
    elif direct:
        came = run_interruptible(
            lambda cancel, news: scaling.scale(open_scaling(settings, cancel, news), replicas),
            quiet=as_json, cleanup_limit=CLEANUP_LIMIT,
        )  # fmt: skip
        print_json(came) if as_json else _show_replicas(came.headline, came.after)
    else:
        submit(
            load_settings(),
            "scale_search",
            {"ops": {"scale_replicas": {"config": {"replicas": replicas}}}},
            as_json=as_json,
        )
        if not as_json:
            status()


@scale.command("status")
def status(as_json: Json = False) -> None:
    """How often the search service shall run, and how each replica is. Exit code 6 when one is not well."""
    found = open_runtime(load_settings()).replicas(SERVICE)
    if as_json:
        print_json(found)
    else:
        _show_replicas(f"{SERVICE}: {found.well} of {found.wanted} replicas are well", found)
        if found.fixed:
            _say(f"it cannot run more than once: {found.fixed}")
    if found.well < found.wanted:
        if not as_json:
            _say(f"start what is missing: archon scale search {found.wanted}")
        raise typer.Exit(6)


@resources.command("apply")
def apply_(
    profile: Annotated[str, typer.Argument(help="development, staging, production or custom.")],
    values: Annotated[
        list[str] | None, typer.Option("--set", help="With custom: SERVICE.cpus=1.5, SERVICE.memory=2G, …")
    ] = None,
    plan: Planned = False,
    direct: Direct = False,
    as_json: Json = False,
) -> None:
    """Say what services may use; one service at a time, each behind a health gate, and back on failure."""
    settings, custom = load_settings(), _custom(values or [])
    if plan:
        _show_applied(profiles.plan(open_scaling(settings, threading.Event()), profile, custom), as_json)
    elif direct:
        came = run_interruptible(
            lambda cancel, news: profiles.apply(open_scaling(settings, cancel, news), profile, custom),
            quiet=as_json, cleanup_limit=CLEANUP_LIMIT,
        )  # fmt: skip
        _show_applied(came, as_json)
    else:
        config = {"profile": profile, "custom": custom or {}}
        submit(
            load_settings(), "apply_resource_profile", {"ops": {"apply_profile": {"config": config}}}, as_json=as_json
        )


@resources.command("status")
def resources_status(as_json: Json = False) -> None:
    """What each service may use, and which profile was applied last."""
    settings = load_settings()
    runtime = open_runtime(settings)
    limits = {name: runtime.limits(name) for name in runtime.services()}
    noted = profiles.noted(settings.home)
    if as_json:
        print_json({"profile": noted, "enforced": profiles.enforced(runtime), "limits": limits})
        return
    rows = [(name, limits_text(one)) for name, one in limits.items()]
    console.print(table(f"profile: {noted.profile if noted else 'none was applied'}", ("service", "limits"), rows))
    _say(f"limits are enforced: {profiles.enforced(runtime)}")


@autoscale.command("status")
def autoscale_status(as_json: Json = False) -> None:
    """What the autoscaler last saw and decided, and by which policy."""
    settings = load_settings()
    policy, last = watch.policy_of(settings), watch.last(settings.home)
    if as_json:
        print_json({"policy": policy, "by": settings.autoscale_by, "dry_run": settings.autoscale_dry_run, "last": last})
        return
    unit = "ms (p95 of its searches)" if settings.autoscale_by == "latency" else "% of a core for each replica"
    _say(
        f"policy: {policy.minimum} to {policy.maximum} replicas; above {policy.high:g} {unit} for {policy.rising} "
        f"looks one more, below {policy.low:g} for {policy.falling} one less; then {policy.cool_down:g} s nothing"
    )
    if settings.autoscale_dry_run:
        _say("it only tells what it would do: ARCHON_AUTOSCALE_DRY_RUN=false lets it act")
    if last is None:
        _say("it has not looked yet: start the sensor search_autoscaler in the UI (Automation)")
    else:
        _say(f"{datetime.fromtimestamp(last.at).astimezone():%Y-%m-%d %H:%M:%S %Z}: {last.line}")


def _custom(values: list[str]) -> dict[str, dict[str, str]] | None:
    found: dict[str, dict[str, str]] = {}
    for text in values:
        place, equals, value = text.partition("=")
        service, dot, what = place.rpartition(".")
        if not (equals and dot and service and what):
            raise ConfigurationError(f"{text!r} says nothing of a service", todo="write it like archon-search.cpus=1.5")
        found.setdefault(service, {})[what] = value
    return found or None


def _show_replicas(title: str, found: Replicas) -> None:
    rows = [tuple(row[column] for column in REPLICAS) for row in replica_rows(found)]
    console.print(table(title, REPLICAS, rows, right=("connections",)))


def _show_applied(came: Applied, as_json: bool) -> None:
    if as_json:
        print_json(came)
        return
    rows = [tuple(row[column] for column in LIMITS) for row in limit_rows(came)]
    console.print(table(came.headline, LIMITS, rows))
    for note in notes(came):
        _say(note)


def _say(text: str) -> None:
    console.print(plain(text), highlight=False, soft_wrap=True)
