"""Read the verdict in the body of an HTTP 200."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from archon_dagster.platform.probes.answer import Unwell

_GOOD = frozenset({"healthy", "ok", "ready", "operational", "up"})
_IN_PART = frozenset({"degraded", "partial", "limited"})


def judge(body: str, *, says_health: bool) -> str:
    """The verdict in the body of a 200, in a few words; raises where it is a bad one.

    :param says_health: the body must contain a verdict; without one, any 200 is good enough.
    """
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    verdict = _verdict(said) if isinstance(said, dict) else None
    if verdict is None:
        if says_health:
            raise Unwell(f"HTTP 200, but the body does not say that it is healthy: {body[:120].strip()!r}")
        return "answers"
    ok, state = verdict
    if not ok:
        raise Unwell(f"HTTP 200, but {state}", degraded=state.partition(":")[0].lower() in _IN_PART)
    return state


def _verdict(said: Mapping[str, Any]) -> tuple[bool, str] | None:
    """Good or not, and its words; the inner ``health`` of the MCP server counts as well as its ``success``."""
    inner = said.get("health")
    status = inner.get("status") if isinstance(inner, dict) else said.get("status")
    why = f": {said['error']}" if said.get("error") else ""
    if said.get("success") is False:
        return False, f"success is false{why}"
    if isinstance(status, str):
        return status.lower() in _GOOD, f"{status}{why}"
    if said.get("success") is True:
        return True, "success"
    return (False, str(said["error"])) if why else None
