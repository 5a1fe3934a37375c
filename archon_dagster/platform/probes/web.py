"""Services that answer HTTP."""

from __future__ import annotations

import ssl

import httpx

from archon_dagster.platform.probes.addresses import address
from archon_dagster.platform.probes.answer import Unwell
from archon_dagster.platform.probes.verdict import judge
from archon_dagster.platform.services import Service
from archon_dagster.platform.settings import Settings


def ask_http(service: Service, settings: Settings, _: bool) -> str:
    """A 200 whose body says healthy (at ``/health``), or just a 200 elsewhere."""
    with client(service, settings) as http:
        response = http.get(service.probe.path)
    return judge(success(response).text, says_health=service.probe.path == "/health")


def client(service: Service, settings: Settings, headers: dict[str, str] | None = None) -> httpx.Client:
    """A client of one service; a proxy for the web is the way to an external one, never to one of ours."""
    where = address(service, settings)
    return httpx.Client(
        base_url=where, timeout=service.probe.timeout, headers=headers, trust_env=service.external, verify=trust(where)
    )


def success(response: httpx.Response) -> httpx.Response:
    """The response, if it is one of success."""
    if not response.is_success:
        raise Unwell(f"HTTP {response.status_code}: {response.text[:200].strip()}")
    return response


def trust(url: str) -> ssl.SSLContext | bool:
    """The authorities this machine trusts; none are needed without TLS, and loading them takes its time."""
    return ssl.create_default_context() if url.startswith("https:") else False
