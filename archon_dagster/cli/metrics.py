"""`archon metrics` and `archon metrics serve`: the control plane's own metrics, for Prometheus."""

from __future__ import annotations

import threading
from typing import Annotated

import typer
from prometheus_client import generate_latest

from archon_dagster.cli.instance import open_instance
from archon_dagster.cli.output import console
from archon_dagster.metrics.certificate import parsed
from archon_dagster.metrics.gathering import Facts
from archon_dagster.metrics.serving import PORT, registry_of, serving
from archon_dagster.metrics.sources import sources
from archon_dagster.platform.settings import load_settings

app = typer.Typer(invoke_without_command=True)
LIMIT = 20.0  # seconds for one look at everything

Server = Annotated[
    str | None, typer.Option("--certificate-of", metavar="HOST:PORT", help="Also: until when its certificate is valid.")
]


@app.callback()
def metrics(context: typer.Context, certificate_of: Server = None) -> None:
    """Print the metrics once, as Prometheus reads them; exit code 1 when a part of them could not be had."""
    if context.invoked_subcommand is not None:
        return
    facts = _facts(certificate_of)
    facts.look(LIMIT)
    typer.echo(generate_latest(registry_of(facts)), nl=False)
    if facts.troubles:  # each was logged, with its reason
        raise typer.Exit(1)


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one, which is printed.")] = PORT,
    host: Annotated[str, typer.Option(help="Whoever can connect can read: there is no login.")] = "127.0.0.1",
    certificate_of: Server = None,
) -> None:
    """Answer Prometheus at /metrics until Ctrl-C. The platform is never asked: what is stored is told."""
    facts = _facts(certificate_of)
    with serving(facts, host, port) as server:
        facts.look(LIMIT)  # whoever asks meanwhile waits: an answer with nothing in it would be an alarm
        stop = threading.Event()
        facts.keep_looking(stop)
        console.print(f"metrics: http://{host}:{server.server_port}/metrics", highlight=False)
        try:
            server.serve_forever()
        except KeyboardInterrupt:  # how it is meant to end
            stop.set()


def _facts(server: str | None) -> Facts:
    load_settings()  # what is wrong with them is said at once
    if server:
        parsed(server)
    return Facts(sources(load_settings, schedules_on, server))


def schedules_on() -> frozenset[str]:
    """The schedules of backups that tick; what they are by default where Dagster has not been started yet."""
    settings = load_settings()
    from dagster import DefaultScheduleStatus
    from dagster._core.scheduler.instigation import InstigatorStatus, InstigatorType

    from archon_dagster.backup.schedules import SCHEDULES

    on = {one.name: one.default_status == DefaultScheduleStatus.RUNNING for one in SCHEDULES}
    if (settings.dagster_home / "dagster.yaml").is_file():
        with open_instance(settings) as instance:
            known = instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)
        on |= {one.name: one.status != InstigatorStatus.STOPPED for one in known if one.name in on}
    return frozenset(name for name, ticks in on.items() if ticks)
