"""Supabase's keys: JSON Web Tokens that name a role, signed with the project's secret (HS256)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from binascii import Error as Base64Error
from typing import Any

ANON, SERVICE = "anon", "service_role"

_HEADER = {"alg": "HS256", "typ": "JWT"}
_ISSUED, _EXPIRES = 1_735_689_600, 4_102_444_800  # 2025 and 2100


def key(secret: str, role: str) -> str:
    """The key of a role; always the same for the same secret."""
    claims = {"iss": "supabase", "ref": "sandbox", "role": role, "iat": _ISSUED, "exp": _EXPIRES}
    signed = f"{_packed(_HEADER)}.{_packed(claims)}"
    return f"{signed}.{_signature(secret, signed)}"


def role_of(secret: str, token: str) -> str | None:
    """The role that a key names; ``None`` where it is not one of this project."""
    signed, _, signature = token.rpartition(".")
    if not hmac.compare_digest(signature.encode(), _signature(secret, signed).encode()):
        return None
    try:
        claims = json.loads(_unpadded(signed.partition(".")[2]))
    except (ValueError, Base64Error):
        return None
    role = claims.get("role") if isinstance(claims, dict) else None
    return role if role in (ANON, SERVICE) else None


def _packed(part: dict[str, Any]) -> str:
    return _url64(json.dumps(part, separators=(",", ":")).encode())


def _signature(secret: str, signed: str) -> str:
    return _url64(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest())


def _url64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
