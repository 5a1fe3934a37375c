"""The calls of the Docker engine that the product makes, and a proxy that writes down those that a test makes.

Whoever adds a call that changes something adds it here, and to ``docker/engine_proxy.py``.
"""

from __future__ import annotations

import asyncio
import importlib.util
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

_FILE = Path(__file__).parents[1] / "docker" / "engine_proxy.py"
_ID = "sha256:" + "0a" * 32

CHANGING = {
    "POST containers/create": "docker compose up; a run's container by the launcher",
    "POST containers/ID/start": "docker compose up; restart; a run",
    "POST containers/ID/stop": "stop, restart, recreate; a run that is cancelled",
    "POST containers/ID/pause": "quiesce of a backup",
    "POST containers/ID/unpause": "the end of it, and every start",
    "POST containers/ID/kill?signal=SIGCONT": "stop, restart, recreate: what is frozen would not hear of it",
    "POST containers/ID/rename": "docker compose up --force-recreate: the old container steps aside first",
    "POST containers/ID/exec": "docker exec: pg_dump, pg_restore, psql, pip check",
    "POST exec/ID/start": "docker exec",
    "POST networks/create": "docker compose up after the network is gone",
    "POST networks/NAME/connect": "a run's second network; a restore drill",
    "POST networks/NAME/disconnect": "a restore drill, whose servers must not be called as the platform's",
    "POST volumes/create": "docker compose up for the first time",
    "POST images/create": "docker compose pull: security updates",
    "POST build": "docker compose build with the classic builder",
    "POST session": "docker compose build with BuildKit",
    "POST grpc": "docker compose build with BuildKit",
    f"POST images/{_ID}/tag": "security updates going back",
    "DELETE containers/ID": "recreate, down; a run that has ended",
    f"DELETE images/{_ID}": "weekly maintenance, step images",
    "DELETE networks/archon-restore-drill-0123abcd_default": "the end of a restore drill",
    "DELETE volumes/archon-restore-drill-0123abcd_qdrant-0": "the end of a restore drill",
}
"""Method and path of every call that changes something, and who makes it. What only looks is allowed as a whole."""


def load_proxy(engine: Path) -> ModuleType:
    """The proxy's own code. :param engine: the socket it leads to."""
    spec = importlib.util.spec_from_file_location("engine_proxy", _FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    vars(module)["ENGINE"] = str(engine)
    return module


@dataclass
class Recorder:
    """What came to a proxy. :param url: for ``DOCKER_HOST``."""

    url: str = ""
    seen: list[tuple[str, str]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def changing(self) -> set[str]:
        """The calls that change something, names and ids taken out, as in :data:`CHANGING`."""
        return {shape(method, path) for method, path in self.seen if method not in ("GET", "HEAD")}


def shape(method: str, target: str) -> str:
    """A call without what is different each time; of a signal it is told which."""
    path, _, query = re.sub(r"^/(v[0-9.]+/)?", "", target).partition("?")
    path = re.sub(r"sha256:[0-9a-f]{64}", _ID, path)
    path = re.sub(r"^(containers|exec)/(?!create$|json$)[^/]+", r"\1/ID", path)
    path = re.sub(r"^networks/(?!create$)[^/]+(?=/)", "networks/NAME", path)
    return f"{method} {path}" + (f"?{query}" if path.endswith("/kill") else "")


@contextmanager
def recording(engine: Path) -> Iterator[Recorder]:
    """The proxy as it is in ``docker/``, on a free port of this machine, in front of a real engine."""
    module, recorder, ready = load_proxy(engine), Recorder(), threading.Event()
    judge, stop = module.allowed, asyncio.Event()
    loop = asyncio.new_event_loop()

    def noted(method: str, target: str) -> bool:
        good: bool = judge(method, target)
        recorder.seen.append((method, target))
        if not good:
            recorder.refused.append(f"{method} {target}")
        return good

    async def serve() -> None:
        async with await asyncio.start_server(module.serve, "127.0.0.1", 0, limit=module.HEAD_LIMIT) as server:
            recorder.url = "tcp://127.0.0.1:{1}".format(*server.sockets[0].getsockname())
            ready.set()
            await stop.wait()
        left = asyncio.all_tasks() - {asyncio.current_task()}  # who keeps a connection open and asks nothing
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    vars(module)["allowed"] = noted
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="engine proxy")
    thread.start()
    try:
        assert ready.wait(30.0)
        yield recorder
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30.0)
        loop.close()
