"""No bytes make the validation fail, and no malformed value is ever accepted."""

from __future__ import annotations

import string
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import hypothesis.strategies as st
import pytest
from docker.utils import parse_repository_tag
from hypothesis import example, given, settings

from archon_dagster.configuration.control_plane import FIELDS
from archon_dagster.configuration.diff import difference
from archon_dagster.configuration.validation import validate
from archon_dagster.configuration.variables import MOST_REPLICAS, TABLE, VARIABLES, Variable, is_known
from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.limits import LEAST_MEMORY, size
from archon_dagster.platform.settings import Settings, settings_of
from archon_dagster.repository.backends.s3.settings import S3Settings, load_s3_settings
from archon_dagster.stores.relational.dsn import environment_of
from archon_dagster_tests.unit.configuration.sample import GOOD, with_

NAMES = [variable.name for variable in VARIABLES]
PIECES = st.sampled_from(
    [*NAMES, "=", "\n", "${", "}", ":-", "'", '"', "\\", "#", " ", "export ", "$", "http://", "9", "é"]
)
NUMBERS = [one for one in VARIABLES if one.kind in ("whole", "port")]
WORDS = [one for one in VARIABLES if one.kind in ("flag", "choice")]
ADDRESSES = [one for one in VARIABLES if one.kind in ("http", "bolt")]
HOSTS = st.one_of(
    st.text("ab1.-_", min_size=1, max_size=12),
    st.lists(st.integers(0, 400).map(str), min_size=1, max_size=5).map(".".join),
    st.text("[]:1af%", max_size=10),
    st.integers(60, 70).map(lambda length: "a" * length),
)
PLAIN = st.text(
    st.characters(codec="utf-8", exclude_characters="\n\r'\"\\$#` \t", exclude_categories=("C", "Z")), min_size=1
)
OF_S3 = {field.alias for field in S3Settings.model_fields.values()}
OF_CONTAINERS = [
    f"{service}_{what}" for service in ("QDRANT", "MEMGRAPH", "POSTGRES", "SEARCH", "INTELLIGENCE", "BRIDGE", "HAPROXY")
    for what in ("IMAGE", "REPLICAS", "CPUS", "CPUS_RESERVED", "MEMORY", "MEMORY_RESERVED")
]  # fmt: skip
NEARLY_GOOD = st.one_of(
    PLAIN,
    st.text("0123456789.,-+eEkmgtbKMGi", min_size=1, max_size=8),
    st.text("abcXYZ019./:@_-[]", min_size=1, max_size=12),
    st.text('[]{}",:qdrant019', min_size=1, max_size=12),
    st.sampled_from(["0 4 * * 0", '["qdrant"]', '{"supabase": ["postgres"]}', "true", "restart", "3", "1e999", "nan"]),
)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_make_it_fail(content: bytes) -> None:
    found = validate(content)
    assert found.exit_code == 2  # so few bytes lack most of what is required
    assert all(one.text for one in found.problems)
    difference(content, GOOD.encode())


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=60).map("".join))
def test_no_text_made_of_its_own_pieces_makes_it_fail(text: str) -> None:
    content = text.encode()
    assert validate(content).exit_code == 2
    validate(GOOD.encode() + b"\n" + content)
    difference(GOOD.encode(), content)


def refused(variable: Variable | str, value: str) -> bool:
    name = variable if isinstance(variable, str) else variable.name
    found = validate(with_(f"{name}='{value}'"))
    return any(one.key == name for one in found.errors)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(NUMBERS), PLAIN)
def test_a_number_is_a_number_in_its_range_or_refused(variable: Variable, value: str) -> None:
    low, high = (1, 65535) if variable.kind == "port" else (variable.lowest, variable.highest)
    good = value.isascii() and value.isdigit() and len(value) < 20 and low <= int(value) <= high
    assert good or refused(variable, value)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(NUMBERS), st.integers())
def test_every_number_out_of_range_is_refused(variable: Variable, value: int) -> None:
    low, high = (1, 65535) if variable.kind == "port" else (variable.lowest, variable.highest)
    assert low <= value <= high or refused(variable, str(value))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(WORDS), PLAIN)
def test_a_word_is_one_of_its_words_or_refused(variable: Variable, value: str) -> None:
    assert value in (variable.choices or ("true", "false")) or refused(variable, value)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ADDRESSES), PLAIN)
def test_an_address_has_scheme_and_host_or_is_refused(variable: Variable, value: str) -> None:
    scheme, _, rest = value.partition("://")
    assert (scheme in ("http", "https", "bolt", "neo4j") and rest) or refused(variable, value)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(ADDRESSES), HOSTS, st.sampled_from(["", ":6333", "/"]))
@example(TABLE["QDRANT_URL"], "a..b", ":6333")
@example(TABLE["OLLAMA_BASE_URL"], "300.1.1.1", ":11434")
@example(TABLE["MEMGRAPH_URI"], "[1:2]", ":7687")
def test_an_address_has_a_host_that_its_readers_can_ask_for_or_is_refused(
    variable: Variable, host: str, tail: str
) -> None:
    scheme = "bolt" if variable.kind == "bolt" else "http"
    assert refused(variable, f"{scheme}://{host}{tail}") or can_be_asked_for(f"http://{host}{tail}")


def can_be_asked_for(url: str) -> bool:
    """Judged by the client that is used, and by the encoding that names go through on their way to the DNS."""
    try:
        host = httpx.URL(url).host
        host.encode("idna")
    except (httpx.InvalidURL, UnicodeError):
        return False
    return bool(host) and not any(label.startswith("-") or label.endswith("-") for label in host.split("."))


@pytest.mark.parametrize(
    "host", ["qdrant", "my_qdrant-1", "a.b_c.example", "10.0.0.1", "[::1]", "1host", "me:it@host", "a" * 63]
)
def test_a_host_that_is_one_is_taken(host: str) -> None:
    assert not refused("QDRANT_URL", f"http://{host}:6334")


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(NAMES), PLAIN)
def test_a_good_value_of_one_variable_never_hides_what_is_missing(name: str, value: str) -> None:
    assert validate(f"{name}={value}\n".encode()).exit_code == 2


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(sorted(FIELDS)), NEARLY_GOOD.filter(lambda value: "'" not in value))
def test_what_is_accepted_the_control_plane_starts_with(name: str, value: str) -> None:
    assert refused(name, value) or starts_with(name, value)


@pytest.mark.parametrize("value", ["nonsense; or not?", "-7", "{"])
def test_what_is_no_value_of_a_setting_is_refused_for_every_one(value: str) -> None:
    assert [name for name in FIELDS if not refused(name, value) and not starts_with(name, value)] == []


def starts_with(name: str, value: str) -> bool:
    """Whether the control plane's settings can be read from a file with this line."""
    try:
        if name in OF_S3:
            beside = {"ARCHON_S3_KEY": "x", "ARCHON_S3_SECRET": "y"} if name != "ARCHON_S3_PROFILE" else {}
            return isinstance(load_s3_settings(**beside | {name: value}), S3Settings)
        with tempfile.TemporaryDirectory() as home:
            file = Path(home) / "given.env"
            file.write_text(f"{name}='{value}'\n")
            return isinstance(settings_of(Path(home), file), Settings)
    except ConfigurationError:
        return False


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(OF_CONTAINERS), NEARLY_GOOD)
def test_a_variable_of_a_container_is_of_its_kind_or_refused(name: str, value: str) -> None:
    assert is_known(name)
    assert _is_of_its_kind(name, value) or refused(name, value)


def _is_of_its_kind(name: str, value: str) -> bool:
    """Judged by those who read it: compose's number of replicas, the runtime's sizes, the engine's references."""
    kind = name.removesuffix("_RESERVED").rpartition("_")[2]
    try:
        if kind == "REPLICAS":
            return value.isascii() and value.isdigit() and 1 <= int(value) <= MOST_REPLICAS
        if kind == "CPUS":
            return 0.01 <= float(value) <= 1024
        if kind == "MEMORY":
            return size(value) >= LEAST_MEMORY
        repository, tag = parse_repository_tag(value)
        path = repository.partition("/")[2] or repository
        letters = string.ascii_letters + string.digits
        return bool(path) and path == path.lower() and tag != "" and {*repository} <= {*letters, *"./:_-"}
    except (ValueError, OverflowError, ConfigurationError):
        return False


@settings(max_examples=300, deadline=None)
@given(NEARLY_GOOD)
def test_a_host_is_one_and_a_dsn_is_read_or_they_are_refused(value: str) -> None:
    assert refused("POSTGRES_HOST", value) or value.count(":") > 1 or urlsplit(f"//{value}:1").hostname == value.lower()
    try:
        environment_of(value)
    except ConfigurationError:
        assert refused("POSTGRES_DSN", value)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([one for one in FIELDS if len(one) > 8]), st.data())
def test_a_slip_in_the_name_of_a_setting_is_told_with_the_name(name: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(name) - 1))
    slip = name[:place] + name[place + 1 :]
    warnings = [one for one in validate(with_(f"{slip}=1")).problems if one.key == slip]
    assert is_known(slip) or any("did you mean" in one.todo for one in warnings)
