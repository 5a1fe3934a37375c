"""Qdrant: ready is what ``/readyz`` says *and* what every collection says."""

from __future__ import annotations

import math
import time
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpx

from archon_dagster.platform.probes.addresses import address
from archon_dagster.platform.probes.answer import Unwell
from archon_dagster.platform.probes.web import trust
from archon_dagster.platform.services import Service
from archon_dagster.platform.settings import Settings


class Refused(Unwell):
    """An HTTP error of the server."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def ask_qdrant(service: Service, settings: Settings, loaded: bool) -> str:
    """Ready, and with ``loaded`` no collection that is dead or red."""
    with connect(service, settings) as client:
        names = ready(client)
        for name in names if loaded else ():
            require_usable(name, result(client, "GET", path(name), absent={}))
    return f"ready, {len(names)} collections"


def connect(service: Service, settings: Settings) -> httpx.Client:
    """A client with the key; with the login where the address has one."""
    key, where, login = settings.qdrant_api_key, address(service, settings), urlsplit(settings.qdrant_url)
    return httpx.Client(
        base_url=where,
        timeout=service.probe.timeout,
        headers={} if key is None else {"api-key": key.get_secret_value()},
        trust_env=False,
        verify=trust(where),
        auth=(unquote(login.username), unquote(login.password or "")) if login.username else None,
    )


def ready(client: httpx.Client) -> list[str]:
    """The names of the collections of a server that says it is ready."""
    require_ready(client)
    return names(client)


def require_ready(client: httpx.Client) -> None:
    """Raise for a server that does not say that it is ready."""
    said = client.get("/readyz")
    if said.status_code != 200:
        raise Unwell(f"/readyz: HTTP {said.status_code}: {said.text[:200].strip()}")


def names(client: httpx.Client, until: float = math.inf) -> list[str]:
    """The names of the collections; :param until: see :func:`result`."""
    return sorted(str(entry["name"]) for entry in result(client, "GET", "/collections", until=until)["collections"])


def require_usable(name: str, info: dict[str, Any]) -> None:
    """Raise for a collection that says it is red."""
    if info.get("status") == "red":
        raise Unwell(f"collection {name} is red: {str(info.get('optimizer_status'))[:200]}")


def path(collection: str, *rest: str) -> str:
    """The path of a collection, or of something in it."""
    return "/".join(["/collections", quote(collection, safe=""), *rest])


def result(
    client: httpx.Client, method: str, target: str, body: Any = None, absent: Any = None, until: float = math.inf
) -> Any:
    """The answer's result, or ``absent`` where that is given and there is nothing (deleted since it was listed).

    :param until: when it has to be there, by the monotonic clock; :class:`TimeoutError` or httpx's own where it is not.
    """
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("no time is left for it")
    timeout = httpx.USE_CLIENT_DEFAULT if left == math.inf else httpx.Timeout(left)
    response = client.request(method, target, json=body, timeout=timeout)
    if response.status_code == 404 and absent is not None:
        return absent
    if response.status_code != 200:
        said = f"{target}: HTTP {response.status_code}: {response.text[:200].strip()}"
        raise Refused(response.status_code, said)
    return response.json()["result"]
