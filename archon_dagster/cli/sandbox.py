"""`archon sandbox …`: the embedded platform."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archon_dagster.backup.summary import duration_text, size_text
from archon_dagster.cli.backups import Json
from archon_dagster.cli.output import console, print_json, problems, table
from archon_dagster.cli.progress import StartLines, Totals
from archon_dagster.errors import ConfigurationError, ServiceError
from archon_dagster.platform.probes import address, probe
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.services import CATALOGUE
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.sandbox.misbehaviour import SLOW_BY

if TYPE_CHECKING:
    from archon_dagster.sandbox.lifecycle import ServiceView

app = typer.Typer(no_args_is_help=True)

Service = Annotated[str, typer.Argument(help="A service of `archon sandbox status`.", metavar="SERVICE")]


class Wipeable(StrEnum):
    """The stores whose data can be destroyed on purpose."""

    vectors = "vectors"
    graph = "graph"
    relational = "relational"
    configuration = "configuration"


def _event(text: str) -> None:
    problems.print(f"  [dim]{text}[/]", highlight=False)


def written(what: str, count: int) -> None:
    """News of the seed."""
    _event(f"{what}: {count:,} written")


@app.command("up")
def up() -> None:
    """Start the embedded platform (what runs already is left alone); it stays up until `archon sandbox down`."""
    from archon_dagster.sandbox import lifecycle

    home = load_settings().home
    with StartLines(problems) as news:
        lifecycle.up(home, on_event=news)
    owner = lifecycle.owner(home)
    if owner is not None:
        console.print(f"it belongs to process {owner} (archon up), and stops with it")
    status()


@app.command("down")
def down() -> None:
    """Stop the embedded platform; its data stay."""
    from archon_dagster.sandbox import lifecycle

    lifecycle.down(load_settings().home)
    console.print("the sandbox is down; its data stay")


@app.command("status")
def status(as_json: Json = False) -> None:
    """The sandbox's services, their processes and addresses. Exit code 6 when one does not run."""
    from archon_dagster.sandbox import lifecycle

    lines = lifecycle.status(load_settings().home)
    if as_json:
        print_json(lines)
    else:
        rows = [(one.service, one.told or one.state, one.address, *_process(one), one.program) for one in lines]
        columns = ("service", "state", "address", "pid", "memory", "program")
        console.print(table("sandbox", columns, rows, right=("memory",)))
    if any(line.state != "running" for line in lines) or not lines:
        raise typer.Exit(6)


def _process(one: ServiceView) -> tuple[str, str]:
    return one.instance or "·", size_text(one.memory_bytes)


@app.command("seed")
def seed(
    folder: Annotated[
        Path | None, typer.Argument(help="Source code to index; default: Python's own standard library.")
    ] = None,
    scale: Annotated[
        int | None, typer.Option(help="Generate this many points, nodes and rows instead, 1 to 1,000,000.")
    ] = None,
    dimension: Annotated[
        int | None, typer.Option(help="Length of the generated vectors, with --scale; default: 1536.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fill the platform: index a folder of source code the way Archon does, or generate data of any size."""
    from archon_dagster.sandbox.seed import seed as fill

    if scale is not None and folder is not None:
        raise typer.BadParameter("a folder is indexed or --scale is generated, not both")
    if dimension is not None and scale is None:
        raise typer.BadParameter("--dimension goes with --scale")
    settings = load_settings()
    _require_stores(settings)
    if scale is not None:
        from archon_dagster.cli.scale import generate

        generate(settings, scale, dimension, as_json=as_json)
        return
    with Totals(problems, quiet=as_json) as totals:
        report = fill(settings, open_runtime(settings), folder, on_event=totals)
    if as_json:
        print_json(report)
        return
    rows = [(f"points in {name}", f"{count:,}") for name, count in report.points.items()]
    rows += [(f"rows in {name}", f"{count:,}") for name, count in report.rows.items()]
    rows += [("nodes", f"{report.nodes:,}"), ("relationships", f"{report.relationships:,}")]
    title = f"{report.files:,} files indexed in {duration_text(report.seconds)}"
    console.print(table(title, ("what", "count"), rows, right=("count",)))


def _require_stores(settings: Settings) -> None:
    """Raise where a server of a store does not answer: half of the data would be written, and the rest not."""
    runtime = open_runtime(settings)
    services = {service.name: service for service in CATALOGUE if service.store}
    if runtime.kind == "processes" and not any(one.state == "running" for one in runtime.status()):
        raise ServiceError("the sandbox is down; nothing was written", todo="start it: archon sandbox up")
    answers = {name: probe(service, settings) for name, service in services.items()}
    silent = {name: answer.text for name, answer in answers.items() if not answer.ok}
    if silent:
        first = next(iter(silent))
        raise ServiceError(
            f"{', '.join(silent)} {'do' if len(silent) > 1 else 'does'} not answer; nothing was written",
            where=address(services[first], settings),
            tried="; ".join(f"{name}: {text}" for name, text in silent.items()),
            todo=f"archon sandbox start {first}, or archon sandbox up for all of it; archon sandbox status",
        )


@app.command("kill")
def kill(service: Service) -> None:
    """Kill a service with SIGKILL, as a crash would."""
    from archon_dagster.sandbox import lifecycle

    home = load_settings().home
    known = [one.service for one in lifecycle.status(home)]
    if known and service not in known:
        raise ConfigurationError(
            f"no such service in the sandbox: {service}", where=str(home), todo=f"services: {', '.join(known)}"
        )
    lifecycle.kill(home, service)
    console.print(f"{service} killed")


@app.command("start")
def start(service: Service) -> None:
    """Start a service and wait until it is ready."""
    from archon_dagster.sandbox import lifecycle

    lifecycle.start(load_settings().home, service)
    console.print(f"{service} is ready")


@app.command("misbehave")
def misbehave(
    service: Service,
    how: Annotated[str, typer.Argument(help="slow, hang, lie, unhealthy, crash or refuse; none ends it.")],
    seconds: Annotated[float, typer.Option(help="How slow.", min=0.0)] = SLOW_BY,
) -> None:
    """Make a stand-in misbehave until told otherwise: slow, hang, lie, unhealthy, crash (at its next start), refuse."""
    from archon_dagster.sandbox import misbehaviour

    home = load_settings().home
    if how == "none":
        misbehaviour.behave(home, service)
        console.print(f"{service} does its work again")
    else:
        misbehaviour.misbehave(home, service, how, seconds)
        console.print(f"{service} misbehaves: {how}; end it with `archon sandbox misbehave {service} none`")


@app.command("wipe")
def wipe(store: Annotated[Wipeable, typer.Argument(help="Whose data to destroy.")]) -> None:
    """Destroy a store's data: stop it, delete its data, start it empty. Only ever the sandbox's."""
    from archon_dagster.sandbox import lifecycle

    lifecycle.wipe(load_settings().home, store.value)
    console.print(f"{store.value} wiped")
