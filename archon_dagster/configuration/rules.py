"""Do the values of a file go together, and are they fit for where they are used.

A rule looks at all values and tells every problem it finds. A variable whose own text is wrong is not looked at again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

from archon_dagster.configuration.envfile import Assignment
from archon_dagster.configuration.problem import Problem, Severity
from archon_dagster.configuration.values import number, shown
from archon_dagster.configuration.variables import TABLE, VARIABLES, is_secret, variable_of
from archon_dagster.platform.limits import size
from archon_dagster.platform.probes.externals import role_of
from archon_dagster.platform.services import BY_NAME

Values = Mapping[str, Assignment]

PLURAL, SINGULAR = "EMBEDDING_DIMENSIONS", "EMBEDDING_DIMENSION"
LENGTHS = {
    "gte-qwen2-1.5b-instruct": 1536,
    "nomic-embed-text": 768,
    "mxbai-embed-large": 1024,
    "all-minilm": 384,
}
"""How many numbers well-known models return, by a part of their name; the model itself is asked with ``--live``."""

MONITORING = {9090: "Prometheus", 9093: "Alertmanager", 3000: "Dagster's web pages"}
"""Ports on the same host that are no service's of the platform."""

SHORTEST_TOKEN = 16  # characters
_LOOPBACK = ("localhost", "127.0.0.1", "::1", "0.0.0.0")
_GUESSABLE = ("dev-token", "changeme", "change-me", "password", "secret", "example", "your-", "test-token", "token-123")


def missing(values: Values, composed: bool) -> Iterator[Problem]:
    """Variables without which the platform does not work, and secrets that are empty, also those nobody here knows."""
    production = _text(values, "ARCHON_ENVIRONMENT") == "production"
    for variable in VARIABLES:
        name, found = variable.name, values.get(variable.name)
        wanted = variable.required or (variable.production and production)
        if name == PLURAL and SINGULAR in values:
            continue  # told by the rule on dimensions
        if found is not None and not found.value and not found.broken:
            if wanted or variable.secret:
                yield _empty(found, wanted=wanted, production=production, secret=variable.secret)
        elif found is None and wanted:
            if composed and name in ("QDRANT_URL", "MEMGRAPH_URI"):
                yield Problem("warning", f"{name} is not set", "good as long as the compose file sets it", name)
            else:
                yield Problem("error", f"{name} is not set", f"add a line {name}=…", name)
    for name, found in values.items():
        if name not in TABLE and not found.value and not found.broken and is_secret(name):
            yield _empty(found, wanted=False, production=production, secret=True)


def _empty(found: Assignment, *, wanted: bool, production: bool, secret: bool) -> Problem:
    empty = ": an empty secret switches the check of it off or locks everybody out" if secret else ""
    todo = "set it" if wanted else "set it, or remove the line"
    severity: Severity = "error" if wanted or production else "warning"
    return Problem(severity, f"{found.key} is empty{empty}", todo, found.key, found.line)


def dimensions(values: Values, _: bool) -> Iterator[Problem]:
    """The services read the plural; the runbook sets the singular, which none of them reads."""
    singular, plural = values.get(SINGULAR), values.get(PLURAL)
    if singular is not None:
        text = f"no service reads {SINGULAR}: they read {PLURAL}"
        if plural is None:
            yield Problem("error", text, f"call it {PLURAL}", SINGULAR, singular.line)
        elif singular.value != plural.value:
            text = f"{text}, and it says something else (line {plural.line})"
            yield Problem("error", text, "remove this line", SINGULAR, singular.line)
        else:
            yield Problem("warning", text, "remove this line", SINGULAR, singular.line)
    said, model = plural or singular, _text(values, "EMBEDDING_MODEL").lower()
    known = next((length for part, length in LENGTHS.items() if part in model), None)
    if said is not None and not said.broken and known and number(said.value) not in (None, known):
        text = f"{said.key} is {said.value}, but {_text(values, 'EMBEDDING_MODEL')} returns {known} numbers"
        yield Problem("error", text, f"{PLURAL}={known}; every document is refused otherwise", said.key, said.line)
    if model and ":" not in model.rpartition("/")[2]:
        found = values["EMBEDDING_MODEL"]
        yield Problem("warning", "EMBEDDING_MODEL names no version, so latest is meant", "add :latest or the version",
                      found.key, found.line)  # fmt: skip


def ports(values: Values, _: bool) -> Iterator[Problem]:
    """Two listeners on one port of this host."""
    taken = {port: (f"port of {who}", 0) for port, who in MONITORING.items()}
    for service in BY_NAME.values():
        own = (service.address_setting, f"{service.name.upper()}_PORT")  # a store's address, or where it is published
        if not service.external and not any(_port_of(values[name]) for name in own if name in values):
            taken.setdefault(service.port, (f"usual port of {service.name}", 0))
    for found in values.values():
        port = _port_of(found)
        if port is None:
            continue
        if port in taken and not _same_server(found.key, taken[port][0]):
            whose, line = taken[port]
            said = f"{found.key} is {port}, which is the {whose}" + (f" (line {line})" if line else "")
            yield Problem("error", said, "choose another port", found.key, found.line)
        else:
            taken[port] = (f"port of {found.key}", found.line)


def _port_of(found: Assignment) -> int | None:
    """The port that somebody listens on here because of this variable."""
    variable = TABLE.get(found.key)
    if variable is None or found.broken:
        return None
    if variable.kind == "port":
        return number(found.value)
    if found.key not in ("QDRANT_URL", "MEMGRAPH_URI", "OLLAMA_BASE_URL", "SUPABASE_URL"):
        return None
    parts = urlsplit(found.value)
    return parts.port if parts.hostname in _LOOPBACK else None


_SAME = (("QDRANT_URL", "QDRANT_PORT"), ("MEMGRAPH_URI", "MEMGRAPH_PORT"))


def _same_server(key: str, whose: str) -> bool:
    """The address of a store and the port it is published on are one listener."""
    return any(key in pair and whose.removeprefix("port of ") in pair for pair in _SAME)


def keys(values: Values, _: bool) -> Iterator[Problem]:
    """An anonymous Supabase key is refused where a service key is needed; its role stands in the key itself."""
    found = values.get("SUPABASE_SERVICE_KEY")
    if found is not None and not found.broken and (role := role_of(found.value)) not in ("", "service_role"):
        text = f"SUPABASE_SERVICE_KEY has the role {role[:20]}, it must be service_role"
        yield Problem("error", text, "take the service key of the project's settings", found.key, found.line)


def production(values: Values, _: bool) -> Iterator[Problem]:
    """What development may do and production must not."""
    place = _text(values, "ARCHON_ENVIRONMENT")
    if place == "development":
        return
    severity = "error" if place == "production" else "warning"
    for name, line, text, todo in (*_open_doors(values), *_left_from_development(values)):
        yield Problem(severity, text, todo, name, line)  # type: ignore[arg-type]
    for name in ("DEBUG_MODE", "ENABLE_API_DOCS", "ENABLE_SWAGGER_UI"):
        if _text(values, name) == "true":
            yield Problem("warning", f"{name} is on", "turn it off in production", name, values[name].line)
    url = _text(values, "SUPABASE_URL")
    if url.startswith("http://") and urlsplit(url).hostname not in _LOOPBACK:
        text = "SUPABASE_URL is http: the service key crosses the network in clear text"
        yield Problem("warning", text, "use https", "SUPABASE_URL", values["SUPABASE_URL"].line)


def _open_doors(values: Values) -> Iterator[tuple[str, int, str, str]]:
    for name in ("CORS_ALLOWED_ORIGINS", "CORS_ORIGINS"):
        if "*" in [one.strip() for one in _text(values, name).split(",")]:
            text = f"{name} allows every origin: any web page may use the platform with its visitor's rights"
            yield name, values[name].line, text, "name the origins, such as https://app.example.com"


def _left_from_development(values: Values) -> Iterator[tuple[str, int, str, str]]:
    token = values.get("SERVICE_AUTH_TOKEN")
    if token is not None and token.value and not token.broken:
        make = "make one: openssl rand -hex 32"
        if any(word in token.value.lower() for word in _GUESSABLE):
            yield token.key, token.line, "SERVICE_AUTH_TOKEN is one that can be guessed", make
        elif len(token.value) < SHORTEST_TOKEN:
            text = f"SERVICE_AUTH_TOKEN has fewer than {SHORTEST_TOKEN} characters"
            yield token.key, token.line, text, make
    if _text(values, "MOCK_EXTERNAL_SERVICES") == "true":
        name = "MOCK_EXTERNAL_SERVICES"
        yield name, values[name].line, f"{name} is on: nothing would be stored or embedded", "turn it off"


def cors_names(values: Values, _: bool) -> Iterator[Problem]:
    """Two names for one thing, with two values."""
    new, old = values.get("CORS_ALLOWED_ORIGINS"), values.get("CORS_ORIGINS")
    if new is not None and old is not None and new.value != old.value:
        text = f"CORS_ORIGINS is {shown(old.key, old.value)}, CORS_ALLOWED_ORIGINS (line {new.line}) says otherwise"
        yield Problem("warning", text, "let both say the same, or remove one", old.key, old.line)


def reservations(values: Values, _: bool) -> Iterator[Problem]:
    """The engine refuses a container that reserves more than it may use."""
    for found in values.values():
        variable, limit = variable_of(found.key), values.get(found.key.removesuffix("_RESERVED"))
        if variable is None or limit is None or limit is found or not (found.value and limit.value):
            continue
        if found.broken or limit.broken or variable.kind not in ("cpus", "memory"):
            continue
        amount: Callable[[str], float] = size if variable.kind == "memory" else float
        if amount(found.value) > amount(limit.value):
            text = f"{found.key} is {found.value}, more than {limit.key}, which is {limit.value} (line {limit.line})"
            yield Problem("error", text, "reserve at most the limit", found.key, found.line)


RULES: tuple[Callable[[Values, bool], Iterator[Problem]], ...] = (
    missing, dimensions, ports, keys, production, cors_names, reservations,
)  # fmt: skip


def _text(values: Values, name: str) -> str:
    found = values.get(name)
    return found.value if found is not None and not found.broken else ""
