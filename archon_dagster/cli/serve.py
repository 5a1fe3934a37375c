"""`archon up`: the embedded platform, the Dagster webserver and the daemon, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import httpx
import typer

from archon_dagster.cli import webserver
from archon_dagster.cli.instance import prepare
from archon_dagster.cli.output import console, problems
from archon_dagster.cli.sandbox import written
from archon_dagster.errors import ConfigurationError, ServiceError
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.settings import Settings, load_settings

LOADED = """{ workspaceOrError { ... on Workspace { locationEntries {
  locationOrLoadError { __typename ... on PythonError { message } } } } } }"""
START_LIMIT = 90.0  # seconds the webserver may take to answer with the code location loaded


def up(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The webserver's port; if taken, a free one.")] = 3000,
    seed: Annotated[bool, typer.Option(help="Fill a new sandbox with sample data.")] = True,
    platform: Annotated[bool, typer.Option(help="Start the embedded platform too.")] = True,
) -> None:
    """Start everything on 127.0.0.1 and keep it running until Ctrl-C, which stops all of it."""
    running = webserver.running_webserver(load_settings())
    if running:
        raise ConfigurationError(f"it is running already: {running}", todo="use it, or stop it with Ctrl-C first")
    signal.signal(signal.SIGTERM, _as_interrupt)
    with ExitStack() as stack:
        settings = stack.enter_context(running_platform(seed=seed)) if platform else load_settings()
        url = stack.enter_context(running_dagster(settings, port))
        _welcome(settings, url)
        _wait(stack)


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def running_platform(*, seed: bool) -> Iterator[Settings]:
    """The embedded platform for the block; stopped afterwards, also when this process is killed."""
    from archon_dagster.sandbox import lifecycle
    from archon_dagster.sandbox.seed import seed as fill

    home = load_settings().home
    new = not (home / "data").exists()
    console.print("[bold]starting the embedded platform[/]")
    try:
        lifecycle.up(home, owner_pid=os.getpid(), on_event=_event)
        settings = load_settings()
        if new and seed:
            console.print("[bold]loading sample data[/] (Python's standard library, indexed)")
            fill(settings, open_runtime(settings), on_event=written)
        yield settings
    finally:
        console.print("[bold]stopping the embedded platform[/]")
        lifecycle.down(home)


def _event(text: str) -> None:
    problems.print(f"  [dim]{text}[/]", highlight=False)


@contextmanager
def running_dagster(settings: Settings, port: int) -> Iterator[str]:
    """The webserver and the daemon for the block; yields the webserver's address."""
    console.print("[bold]starting Dagster[/]")
    home = prepare(settings)
    chosen = free_port(port)
    if port not in (0, chosen):
        console.print(f"  port {port} is taken: using {chosen}")
    url = f"http://127.0.0.1:{chosen}"
    workspace = home / "workspace.yaml"
    workspace.write_text(
        "load_from:\n  - python_module:\n      module_name: archon_dagster.definitions\n      location_name: archon\n"
    )
    web = ["-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(chosen), "-w", str(workspace)]
    daemon = ["-m", "dagster._daemon", "run", "-w", str(workspace)]
    with _tethered(home / "webserver.log", web) as server, _tethered(home / "daemon.log", daemon):
        wait_for_webserver(url, server, home / "webserver.log")
        webserver.note_webserver(settings, url)
        try:
            yield url
        finally:
            webserver.forget_webserver(settings)
            console.print("[bold]stopping Dagster[/]")


@contextmanager
def _tethered(log: Path, arguments: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A Python program that ends with the block, or with this process however it ends."""
    command = [sys.executable, "-m", "archon_dagster.cli.tether", sys.executable, *arguments]
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True)
    assert process.stdin is not None
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait(60)


def free_port(wanted: int) -> int:
    """``wanted`` where it is free, else one the system picks."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServiceError("no free port on 127.0.0.1", todo="stop something that listens, then try again")


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
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    raise ServiceError("the Dagster webserver did not start", where=url, tried=f"{last}\n{tail}", todo=f"see {log}")


def _welcome(settings: Settings, url: str) -> None:
    console.print(
        f"\n[bold green]ready[/]  {url}\n\n"
        f"  asset graph        {url}/asset-groups\n"
        f"  take a backup      {url}/locations/archon/jobs/backup/playground  (Launch Run)\n"
        f"  restore one        {url}/locations/archon/jobs/restore/playground  (type confirm: RESTORE)\n"
        f"  backups            {url}/assets/backup/catalogue\n"
        f"  daily schedule     {url}/automation\n\n"
        f"  repository         {settings.repository}\n"
        f"  in another shell   archon status, archon backups, archon backup, archon restore latest --plan\n\n"
        "Ctrl-C stops all of it; the data stay.",
        highlight=False,
        soft_wrap=True,
    )


def _wait(stack: ExitStack) -> None:
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # one Ctrl-C is enough: stopping must not be interrupted
        stack.close()
