"""`archon up`: the embedded platform, the Dagster webserver and the daemon, until Ctrl-C."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import httpx
import typer
from filelock import FileLock, Timeout
from rich.markup import escape

from archon_dagster.cli import webserver
from archon_dagster.cli.instance import prepare
from archon_dagster.cli.output import console, problems
from archon_dagster.cli.progress import StartLines, Totals
from archon_dagster.cli.supervision import Program, keep_running, tail
from archon_dagster.errors import ConfigurationError, ServiceError
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.sandbox.ports import any_free, choose

LOADED = """{ workspaceOrError { ... on Workspace { locationEntries {
  locationOrLoadError { __typename ... on PythonError { message } } } } } }"""
START_LIMIT = 90.0  # seconds the webserver may take to answer with the code location loaded


def up(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The webserver's port; if taken, a free one.")] = 3000,
    seed: Annotated[bool, typer.Option(help="Fill a new sandbox with sample data.")] = True,
    platform: Annotated[bool, typer.Option(help="Start the embedded platform too.")] = True,
) -> None:
    """Start everything on 127.0.0.1 and keep it running until Ctrl-C, which stops all of it.

    A webserver or daemon that dies is started again, three times within ten minutes; then all is stopped (exit code 6).
    """
    with ExitStack() as stack:
        stack.enter_context(_alone(load_settings()))
        settings = stack.enter_context(running_platform(seed=seed)) if platform else load_settings()
        dagster = stack.enter_context(running_dagster(settings, port))
        _welcome(settings, dagster.url)
        _wait(stack, dagster)


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """One `up` on a home: the lock goes with this process, however that ends."""
    settings.home.mkdir(parents=True, exist_ok=True)
    running = webserver.running_webserver(settings)
    try:
        if running:
            raise ConfigurationError(f"it is running already: {running}", todo="use it, or stop it with Ctrl-C first")
        with FileLock(settings.home / "up.lock", timeout=0):
            yield
    except Timeout as error:
        raise ConfigurationError(
            "another `archon up` works on this home", where=str(settings.home), todo="use it, or stop it first"
        ) from error


@contextmanager
def running_platform(*, seed: bool) -> Iterator[Settings]:
    """The embedded platform for the block. What this process started is stopped afterwards, also when it is killed;
    a sandbox that was running before (`archon sandbox up`) is somebody else's and goes on."""
    from archon_dagster.sandbox import lifecycle
    from archon_dagster.sandbox.seed import seed as fill

    home = load_settings().home
    new = not (home / "data").exists()
    console.print("[bold]starting the embedded platform[/]")
    with StartLines(problems) as news:
        lifecycle.up(home, owner_pid=os.getpid(), on_event=news)
    try:
        settings = load_settings()
        if lifecycle.owner(home) != os.getpid():
            console.print("  it was running before: it is used, and goes on when this ends")
        if new and seed:
            console.print("[bold]loading sample data[/] (Python's standard library, indexed)")
            with Totals(problems) as totals:
                fill(settings, open_runtime(settings), on_event=totals)
        yield settings
    finally:
        _leave_platform(home)


def _leave_platform(home: Path) -> None:
    from archon_dagster.sandbox import lifecycle

    if lifecycle.owner(home) == os.getpid():
        console.print("[bold]stopping the embedded platform[/]")
        lifecycle.down(home)
    else:
        console.print("the embedded platform goes on; stop it: archon sandbox down")


@dataclass(frozen=True)
class Dagster:
    """The webserver's address, and the programs to keep running."""

    url: str
    programs: tuple[Program, ...]


@contextmanager
def running_dagster(settings: Settings, port: int) -> Iterator[Dagster]:
    """The webserver and the daemon for the block."""
    console.print("[bold]starting Dagster[/]")
    home = prepare(settings)
    chosen = choose([port]) if port else any_free()
    if port not in (0, chosen):
        console.print(f"  port {port} is taken: using {chosen}")
    url = f"http://127.0.0.1:{chosen}"
    with ExitStack() as stack:
        server, daemon = programs(home, url, chosen)
        stack.enter_context(server)
        stack.enter_context(daemon)
        server.wait_until_ready()
        daemon.wait_until_ready()
        webserver.note_webserver(settings, url)
        try:
            yield Dagster(url, (server, daemon))
        finally:
            webserver.forget_webserver(settings)
            console.print("[bold]stopping Dagster[/]")


def programs(home: Path, url: str, port: int) -> tuple[Program, Program]:
    """The webserver and the daemon, on one workspace."""
    workspace = home / "workspace.yaml"
    workspace.write_text(
        "load_from:\n  - python_module:\n      module_name: archon_dagster.definitions\n      location_name: archon\n"
    )
    log = home / "webserver.log"
    web = ["-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port), "-w", str(workspace)]
    daemon = ["-m", "dagster._daemon", "run", "-w", str(workspace)]
    return (
        Program("webserver", log, web, lambda process: wait_for_webserver(url, process, log)),
        Program("daemon", home / "daemon.log", daemon, lambda _: None),
    )


def wait_for_webserver(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the webserver answers and has loaded the code location without an error."""
    deadline, last = time.monotonic() + START_LIMIT, "no answer"
    while time.monotonic() < deadline and process.poll() is None:
        try:
            entries = httpx.post(f"{url}/graphql", json={"query": LOADED}, timeout=10).json()["data"][
                "workspaceOrError"
            ]["locationEntries"]
            found = [entry["locationOrLoadError"] for entry in entries]
        except (httpx.HTTPError, ValueError, KeyError) as error:
            last, found = f"{type(error).__name__}: {error}", []
        for one in found:
            if one and one["__typename"] == "PythonError":
                raise ServiceError("Dagster cannot load the code location", where=url, tried=one["message"])
        if found and all(found):
            return
        time.sleep(0.2)
    raise ServiceError(
        "the Dagster webserver did not start", where=url, tried=f"{last}\n{tail(log, 15)}", todo=f"see {log}"
    )


def _welcome(settings: Settings, url: str) -> None:
    console.print(
        f"\n[bold green]ready[/]  {url}\n\n"
        f"  asset graph        {url}/asset-groups\n"
        f"  take a backup      {url}/locations/archon/jobs/backup/playground  (Launch Run)\n"
        f"  restore one        {url}/locations/archon/jobs/restore/playground  (type confirm: RESTORE)\n"
        f"  backups            {url}/assets/backup/catalogue\n"
        f"  daily schedule     {url}/automation\n\n"
        f"  repository         {settings.repository}\n"
        f"  in another shell   export ARCHON_HOME={shlex.quote(str(settings.home))}\n"
        f"                     archon status, archon backups, archon backup, archon restore latest --plan\n\n"
        "Ctrl-C stops all of it; the data stay.",
        highlight=False,
        soft_wrap=True,
    )


def _wait(stack: ExitStack, dagster: Dagster) -> None:
    try:
        keep_running(dagster.programs, _tell)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # one Ctrl-C is enough: stopping must not be interrupted
        stack.close()


def _tell(news: str) -> None:
    problems.print(f"{datetime.now():%H:%M:%S}  {escape(news)}", highlight=False, soft_wrap=True)
