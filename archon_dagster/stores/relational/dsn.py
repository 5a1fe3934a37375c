"""A PostgreSQL DSN as ``PG*`` environment variables: a command line can be read by everybody on the machine."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote, urlsplit

from archon_dagster.errors import ConfigurationError

_VARIABLES = {
    "host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER",
    "password": "PGPASSWORD", "passfile": "PGPASSFILE", "options": "PGOPTIONS", "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY", "sslcrl": "PGSSLCRL",
    "sslsni": "PGSSLSNI", "sslnegotiation": "PGSSLNEGOTIATION", "channel_binding": "PGCHANNELBINDING",
    "require_auth": "PGREQUIREAUTH", "gssencmode": "PGGSSENCMODE", "connect_timeout": "PGCONNECT_TIMEOUT",
    "target_session_attrs": "PGTARGETSESSIONATTRS", "application_name": "PGAPPNAME",
}  # fmt: skip
_PAIR = re.compile(r"\s*(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?=\s|$)", re.DOTALL)


def environment_of(dsn: str) -> dict[str, str]:
    """The variables that say what the DSN says; both of PostgreSQL's notations are read.

    Raises :class:`ConfigurationError`, which never repeats the DSN: it holds a password.
    """
    found = _of_url(dsn) if re.match(r"postgres(ql)?://", dsn) else _of_pairs(dsn)
    unknown = sorted(found.keys() - _VARIABLES.keys())
    if unknown:
        raise ConfigurationError(f"POSTGRES_DSN has parameters that cannot be passed on: {', '.join(unknown)}")
    return {_VARIABLES[name]: value for name, value in found.items() if value}


def _of_url(dsn: str) -> dict[str, str]:
    try:
        parts = urlsplit(dsn)
        port = parts.port
    except ValueError:
        raise ConfigurationError("POSTGRES_DSN is not a valid URL (special characters must be %-encoded)") from None
    found = {
        "host": unquote(parts.hostname or ""),
        "port": str(port or ""),
        "dbname": unquote(parts.path.removeprefix("/")),
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
    }
    return found | dict(parse_qsl(parts.query, keep_blank_values=True))


def _of_pairs(dsn: str) -> dict[str, str]:
    found: dict[str, str] = {}
    position = 0
    text = dsn.strip()
    while position < len(text):
        pair = _PAIR.match(text, position)
        if pair is None:
            raise ConfigurationError("POSTGRES_DSN is neither postgresql://… nor a list of name=value")
        quoted = pair[2] if pair[2] is not None else pair[3]
        found[pair[1]] = re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
        position = pair.end()
    return found
