"""Supabase as the platform's services use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archon_dagster.sandbox.services.neighbours import Neighbour, Unanswered

REST = "/rest/v1/"


def supabase(environment: Mapping[str, str]) -> Neighbour:
    """The project of a platform, with the key of its services."""
    key = environment.get("SUPABASE_SERVICE_KEY") or ""
    return Neighbour((environment.get("SUPABASE_URL") or "").rstrip("/"), {"apikey": key} if key else {})


async def table(project: Neighbour, name: str, columns: str, limit: int = 1000) -> list[dict[str, Any]]:
    """Rows of a table; none of one that does not exist yet. Raises :class:`Unanswered` for every other answer."""
    reply = await project.ask("GET", f"{REST}{name}?select={columns}&limit={limit}")
    if reply.status == 404:
        return []
    if reply.status not in (200, 206) or not isinstance(reply.body, list):
        raise Unanswered(f"HTTP {reply.status}: {reply.body}")
    return reply.body
