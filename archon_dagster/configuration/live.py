"""Ask the servers that a file names what they make of it: a step of its own, after the file itself is good.

Ollama: is the exact model there, and how many numbers does it really return. Supabase: does it take the key, and is
that a service key. Qdrant: have the live collections vectors of that length. The settings are those of the file, never
those of this process.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from archon_dagster.asking import ask_all
from archon_dagster.configuration.problem import Problem, in_order
from archon_dagster.configuration.rules import PLURAL, SINGULAR
from archon_dagster.configuration.validation import Validation
from archon_dagster.configuration.values import wrong
from archon_dagster.platform.probes.answer import FAILURES, Unwell, in_words
from archon_dagster.platform.probes.known_answer import Vectors
from archon_dagster.platform.probes.qdrant import connect, path, ready, result
from archon_dagster.platform.services import ARCHON_COLLECTIONS, BY_NAME
from archon_dagster.platform.settings import Settings, settings_of
from archon_dagster.startup.aside import Aside
from archon_dagster.startup.externals import MODEL_LIMIT, External, check_externals

SERVERS: dict[str, tuple[str, ...]] = {
    "ollama": ("OLLAMA_BASE_URL", "EMBEDDING_MODEL", PLURAL, SINGULAR),
    "supabase": ("SUPABASE_URL", "SUPABASE_SERVICE_KEY"),
    "qdrant": ("QDRANT_URL", "QDRANT_API_KEY", PLURAL, SINGULAR),
}
"""What can be asked, and the variables it takes; the first one is its address."""

LIMIT = 20.0  # seconds for Supabase and Qdrant; a model may have to be loaded first, see MODEL_LIMIT


def concerned(keys: Iterable[str]) -> tuple[str, ...]:
    """The servers that a change of these variables is a question to."""
    changed = set(keys)
    return tuple(name for name, variables in SERVERS.items() if changed.intersection(variables))


def ask_servers(
    found: Validation, own: Settings, servers: Iterable[str] = tuple(SERVERS), check: Callable[[], None] = lambda: None
) -> Validation:
    """The validation with what the servers say added, and which of them could not be asked.

    :param own: the control plane's settings: where Qdrant is reached from here. :param check: raises to stop.
    """
    hindered = {name: why for name in servers if (why := _hindrance(found, name))}
    wanted = [name for name in servers if name not in hindered]
    there = {key: one.value for key, one in found.file.values.items() if one.value}
    chosen = {key: there[key] for name in wanted for key in SERVERS[name] if key in there}
    if PLURAL in chosen:
        chosen.pop(SINGULAR, None)
    read = settings_of(own.home, Path(os.devnull), **chosen)
    questions: dict[str, Callable[[], list[Problem]]] = {
        "ollama": lambda: _external("ollama", read, found),
        "supabase": lambda: _external("supabase", read, found),
        "qdrant": partial(_qdrant, read, own, found),
    }
    asked = {name: questions[name] for name in wanted}
    answers = Aside(lambda: ask_all(asked, MODEL_LIMIT + LIMIT)).result(check) if asked else {}
    problems = [*found.problems, *(_not_asked(found, name, why) for name, why in hindered.items())]
    for name, answer in answers.items():
        problems += answer if isinstance(answer, list) else [_problem(found, SERVERS[name][0], f"{name}: {answer}")]
    return replace(found, problems=in_order(problems), live=True)


def _hindrance(found: Validation, name: str) -> str:
    """Why a server cannot be asked with what stands in the file; empty: it can."""
    for key in SERVERS[name]:
        there = found.file.values.get(key)
        if there is not None and (there.broken or wrong(key, there.value)):
            return f"{key} is wrong"
    address = found.file.values.get(SERVERS[name][0])
    if name == "qdrant" or (address is not None and address.value):
        return ""
    return f"{SERVERS[name][0]} is not set"


def _not_asked(found: Validation, name: str, why: str) -> Problem:
    key = SERVERS[name][0]
    there = found.file.values.get(key)
    return Problem("warning", f"{name} was not asked, because {why}", "", key, there.line if there else 0)


def _dimension(found: Validation) -> str:
    """The variable that says how long vectors are: nobody is to look for one that is not in the file."""
    set_here = {key for key, one in found.file.values.items() if one.value}
    return SINGULAR if SINGULAR in set_here and PLURAL not in set_here else PLURAL


def _external(name: str, read: Settings, found: Validation) -> list[Problem]:
    """Only this one is asked: the other's address is taken out."""
    other = {"ollama": "supabase_url", "supabase": "ollama_url"}[name]
    checked = check_externals(read.model_copy(update={other: None}))
    return [_of(one, found) for one in checked if one.name == name and one.state == "bad"]


def _of(external: External, found: Validation) -> Problem:
    key, detail = SERVERS[external.name][0], external.detail
    if f"{PLURAL} is" in detail:
        key = _dimension(found)
        detail = detail.replace(PLURAL, key)
    elif external.name == "ollama" and "the model" in external.detail:
        key = "EMBEDDING_MODEL"
    elif external.name == "supabase" and "has the role" in external.detail:
        key = "SUPABASE_SERVICE_KEY"
    return _problem(found, key, f"{external.name}: {detail} ({external.address})")


def _problem(found: Validation, key: str, text: str) -> Problem:
    there = found.file.values.get(key)
    todo = "correct it, or mend the server; to look at the file alone: without --live"
    return Problem("error", text, todo, key, there.line if there else 0)


def _qdrant(read: Settings, own: Settings, found: Validation) -> list[Problem]:
    """The live collections' vectors against the file's number."""
    wanted, said, named = read.embedding_dimensions, "", found.file.values.get("QDRANT_URL")
    if named is None or not named.value or not _resolves(read.qdrant_url):
        # a name of the platform's own network: from here it has another address, which the control plane knows
        name = f"{urlsplit(read.qdrant_url).hostname} has no address here" if named else "QDRANT_URL is not set"
        said = f" (asked at {own.qdrant_url}: {name})"
        read = read.model_copy(update={"qdrant_url": own.qdrant_url})
    try:
        sizes = _sizes(read)
    except (Unwell, *FAILURES, KeyError, TypeError) as error:
        text = str(error) if isinstance(error, Unwell) else in_words(error, LIMIT)
        return [_problem(found, "QDRANT_URL", f"qdrant: {text}{said}")]
    key = _dimension(found)
    return [
        _problem(found, key,
                 f"{key} is {wanted}, but the vectors of {name} have {size} dimensions{said}")
        for name, size in sizes if size != wanted
    ]  # fmt: skip


def _sizes(settings: Settings) -> list[tuple[str, int]]:
    """The length of every dense vector of the collections that the platform uses."""
    with connect(BY_NAME["qdrant"], settings) as client:
        names = [name for name in ready(client) if name in ARCHON_COLLECTIONS]
        infos = {name: result(client, "GET", path(name)) for name in names}
    return [(name, size) for name, info in infos.items() for size in Vectors.of(info).sizes.values()]


def _resolves(url: str) -> bool:
    try:
        socket.getaddrinfo(urlsplit(url).hostname, None)
    except (OSError, UnicodeError):
        return False
    return True
