"""What is wrong with a file is found, all of it, with its line; what is secret is never shown."""

from __future__ import annotations

import base64
import json

import pytest

from archon_dagster.configuration.problem import Problem
from archon_dagster.configuration.validation import Validation, validate
from archon_dagster.errors import ConfigurationError
from archon_dagster_tests.unit.configuration.sample import GOOD, line_of, with_


def problem(found: Validation, key: str) -> Problem:
    (one,) = [one for one in found.problems if one.key == key]
    return one


def test_the_runbooks_environment_is_good_once_it_is_mended() -> None:
    found = validate(GOOD.encode())
    assert found.problems == ()
    assert found.exit_code == 0


RUNBOOK = """\
ARCHON_ENVIRONMENT=production
QDRANT_URL=http://qdrant:6333
MEMGRAPH_URI=bolt://memgraph:7687
SUPABASE_URL=${SUPABASE_URL}
SUPABASE_SERVICE_KEY=${SUPABASE_SERVICE_KEY}
OLLAMA_BASE_URL=http://ollama.example:11434
EMBEDDING_MODEL=rjmalagon/gte-qwen2-1.5b-instruct-embed-f16:latest
EMBEDDING_DIMENSION=768
SERVICE_AUTH_TOKEN=${SERVICE_AUTH_TOKEN}
METRICS_PORT=9090
"""


def test_the_runbooks_own_file_has_every_fault_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SUPABASE_URL", "SUPABASE_SERVICE_KEY", "SERVICE_AUTH_TOKEN"):
        monkeypatch.setenv(name, "https://exported.example")  # a shell that happens to have it does not count
    found = validate(RUNBOOK.encode())
    assert found.exit_code == 2
    told = {(one.line, one.key) for one in found.errors}
    assert told == {
        (4, "SUPABASE_URL"), (5, "SUPABASE_SERVICE_KEY"), (8, "EMBEDDING_DIMENSION"), (9, "SERVICE_AUTH_TOKEN"),
        (10, "METRICS_PORT"),
    }  # fmt: skip
    said = "\n".join(one.text for one in found.errors)
    assert "SERVICE_AUTH_TOKEN refers to itself" in said
    assert "no service reads EMBEDDING_DIMENSION" in said
    assert "returns 1536 numbers" in said
    assert "9090, which is the port of Prometheus" in said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("EMBEDDING_DIMENSIONS=abc", "must be a whole number"),
        ("EMBEDDING_DIMENSIONS=0", "must be from 1 to 65536"),
        ("EMBEDDING_DIMENSIONS=1536.0", "must be a whole number"),
        ("EMBEDDING_DIMENSIONS=１５３６", "must be a whole number"),
        ("EMBEDDING_DIMENSIONS=" + "9" * 5000, "must be a whole number"),
        ("EMBEDDING_DIMENSIONS=768", "returns 1536 numbers"),
        ("BATCH_SIZE=-1", "must be from 1 to 1000"),
        ("LOG_LEVEL=LOUD", "must be one of DEBUG"),
        ("DEBUG_MODE=yes", "must be true or false"),
        ("SEARCH_SERVICE_PORT=70000", "must be a port"),
        ("QDRANT_URL=qdrant:6333", "must begin with http://"),
        ("QDRANT_URL=http://qdrant:port", "cannot be understood"),
        ("QDRANT_URL=http://", "needs a host"),
        ("QDRANT_URL='http://[x'", "cannot be understood"),
        ("QDRANT_URL=http://qdrant:6333?x=1", "must not have a ?"),
        ("MEMGRAPH_URI=http://memgraph:7687", "must begin with bolt://"),
        ("OLLAMA_BASE_URL='http://two hosts'", "there is a space"),
        ("CORS_ALLOWED_ORIGINS=https://app.example.com/", "an origin has no path"),
        ("SUPABASE_URL=${NOBODY_HAS_SET}", "not set above it"),
        ("METRICS_PORT=8053", "port of INTELLIGENCE_SERVICE_PORT"),
        ("METRICS_PORT=6333", "usual port of qdrant"),
        ("METRICS_PORT=9093", "port of Alertmanager"),
        ("SUPABASE_SERVICE_KEY=__WITHHELD_FROM_THE_BACKUP__", "placeholder of a backup"),
        ("SUPABASE_SERVICE_KEY=", "is empty"),
        ("LOG_LEVEL=$LEVEL", "Docker Compose replaces"),
        ("ARCHON_TIMEZONE=Mars/Phobos", "must be a time zone"),
        ("ARCHON_HEALTH_WATCHED=[qdrant", "is not JSON"),
        ("ARCHON_RECOVERY=always", "Input should be"),
        ("MOCK_EXTERNAL_SERVICES=true", "nothing would be stored"),
        ("SERVICE_AUTH_TOKEN=dev-token-123", "can be guessed"),
        ("SERVICE_AUTH_TOKEN=short", "fewer than 16"),
        ("CORS_ALLOWED_ORIGINS=*", "every origin"),
        ("SEARCH_REPLICAS=many", "must be a whole number from 1 to 64"),
        ("SEARCH_REPLICAS=0", "must be from 1 to 64"),
        ("SEARCH_MEMORY=abc", "must be a size such as 512M"),
        ("SEARCH_MEMORY=512", "less than the 6M"),
        ("INTELLIGENCE_MEMORY_RESERVED=1 g", "must be a size"),
        ("QDRANT_CPUS=lots", "must be a number of cores"),
        ("QDRANT_CPUS=0", "must be a number of cores"),
        ("QDRANT_CPUS=inf", "must be a number of cores"),
        ("QDRANT_IMAGE='bad image'", "must be an image"),
        ("SEARCH_IMAGE=Registry/Archon-Search", "must be an image"),
        ("HAPROXY_IMAGE=haproxy:", "must be an image"),
        ("POSTGRES_HOST='not a host!'", "must be the name or the address of a host"),
        ("POSTGRES_HOST=postgres:5432", "without a port"),
        ("POSTGRES_DSN=nonsense", "is none: it must be postgresql://"),
        ("POSTGRES_DSN=postgresql://postgres@db:0/archon", "has a port that is none"),
        ("ARCHON_MAINTENANCE_CRON=nonsense", "has not five fields"),
        ("ARCHON_DRILL_MEMORY=much", "no size of memory"),
        ("ARCHON_S3_ENDPOINT=minio:9000", "use http://host:port"),
        ("ARCHON_SERVICE_HOST={name}", "must be the name or the address of a host"),
        ("ARCHON_REPOSITORY=s3:///backups", "must be a directory or s3://bucket/prefix"),
        ("ARCHON_WEBSERVER_URL=localhost:3000", "must begin with http://"),
        ("ARCHON_HEARTBEAT_URL=hc-ping.com/x", "must begin with http://"),
        ("ARCHON_ALERT_URLS=slack", "no URL of a channel: number 1"),
        ("COMPOSE_PROJECT_NAME=Archon", "must be of small letters"),
        ("ARCHON_BIND=localhost", "must be an address of this host"),
        ("ARCHON_RESTART_POLICY=never", "must be one of no, always"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_an_error_at_its_line(line: str, said: str) -> None:
    content, name = with_(line), line.partition("=")[0]
    found = validate(content)
    one = problem(found, name)
    assert said in one.text
    assert (one.severity, one.line) == ("error", line_of(content, name))
    assert found.exit_code == 2


def test_the_settings_read_small_letters_too_and_say_so() -> None:
    told = [one for one in validate(with_("archon_recovery=always")).problems if one.key == "archon_recovery"]
    assert ["Input should be" in one.text or "ARCHON_RECOVERY" in one.todo for one in told] == [True, True]
    assert {one.severity for one in told} == {"error", "warning"}


@pytest.mark.parametrize(
    "name",
    ["ARCHON_ENVIRONMENT", "QDRANT_URL", "MEMGRAPH_URI", "SUPABASE_URL", "SUPABASE_SERVICE_KEY", "OLLAMA_BASE_URL",
     "EMBEDDING_MODEL", "EMBEDDING_DIMENSIONS", "SERVICE_AUTH_TOKEN"],
)  # fmt: skip
def test_what_is_required_is_missed(name: str) -> None:
    assert problem(validate(with_(without=name)), name).text == f"{name} is not set"


def test_a_compose_file_may_know_where_the_stores_are() -> None:
    found = validate(with_(without="QDRANT_URL"), composed=True)
    assert problem(found, "QDRANT_URL").severity == "warning"
    assert found.exit_code == 1


def test_development_may_do_what_production_must_not() -> None:
    loose = ("CORS_ALLOWED_ORIGINS=*", "SERVICE_AUTH_TOKEN=dev-token-123", "DEBUG_MODE=true", "ENABLE_API_DOCS=true")
    assert validate(with_("ARCHON_ENVIRONMENT=development", *loose)).problems == ()
    assert {one.key for one in validate(with_(*loose)).errors} == {"CORS_ALLOWED_ORIGINS", "SERVICE_AUTH_TOKEN"}


def test_a_variable_that_is_there_twice_names_both_lines() -> None:
    found = validate(GOOD.encode() + b"\n# again\nLOG_LEVEL=DEBUG\n")
    assert problem(found, "LOG_LEVEL").text == "LOG_LEVEL stands in line 3 already"
    assert problem(found, "LOG_LEVEL").line == len(GOOD.splitlines()) + 3


def test_an_unknown_variable_is_a_warning_with_a_guess() -> None:
    found = validate(with_("BATCH_SIZES=3"))
    assert problem(found, "BATCH_SIZES").todo == "did you mean BATCH_SIZE?"
    assert found.exit_code == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ARCHON_RECOVRY", "did you mean ARCHON_RECOVERY?"), ("ARCHON_S3_ENDPIONT", "did you mean ARCHON_S3_ENDPOINT?"),
        ("SEARCH_REPLICA", "did you mean SEARCH_REPLICAS?"), ("QDRANT_MEMRY", "did you mean QDRANT_MEMORY?"),
        ("COMPOSE_PROFILE", "did you mean COMPOSE_PROFILES?"), ("archon_recovery", "did you mean ARCHON_RECOVERY?"),
        ("ARCHON_LISTEN", "docker/.env"), ("ARCHON_SOMETHING_ELSE_ALTOGETHER", "remove it if it is a mistake"),
    ],
)  # fmt: skip
def test_what_nobody_reads_is_told_with_what_was_perhaps_meant(name: str, said: str) -> None:
    found = validate(with_(f"{name}=off"))
    assert found.exit_code == 1
    assert said in problem(found, name).todo


def test_good_values_of_containers_and_of_the_control_plane_are_good() -> None:
    lines = (
        "SEARCH_REPLICAS=3", "SEARCH_MEMORY=1.5gb", "SEARCH_MEMORY_RESERVED=512M", "QDRANT_CPUS=0.5",
        "QDRANT_IMAGE=qdrant/qdrant:v1.7.4", "SEARCH_IMAGE=registry.example:5000/archon/search@sha256:" + "0a" * 32,
        "POSTGRES_HOST=::1", "POSTGRES_DSN='host=db port=5433 user=me password=it'", "ARCHON_SERVICE_HOST={service}",
        "ARCHON_MAINTENANCE_CRON='0 4 * * 0'", "ARCHON_HEALTH_WATCHED='[\"qdrant\"]'", "ARCHON_REPOSITORY=s3://bucket/a",
        "ARCHON_ALERT_URLS='json://ops.example/x critical=json://night.example/x'", "COMPOSE_PROFILES=agents,frontend",
        "ARCHON_HEARTBEAT_URL=https://hc.example/x?token=1", "ARCHON_S3_ENDPOINT=http://minio:9000",
        "QDRANT__SERVICE__API_KEY=it", "AWS_PROFILE=backups", "ARCHON_BIND=0.0.0.0",
        "ARCHON_SANDBOX_QDRANT_VERSION=1.18.3",
    )  # fmt: skip
    assert validate(with_(*lines)).problems == ()


def test_a_reservation_is_within_its_limit() -> None:
    found = validate(with_("SEARCH_MEMORY=1g", "SEARCH_MEMORY_RESERVED=1025M"))
    assert "more than SEARCH_MEMORY, which is 1g" in problem(found, "SEARCH_MEMORY_RESERVED").text
    assert validate(with_("SEARCH_CPUS=2", "SEARCH_CPUS_RESERVED=2")).problems == ()


def test_what_settings_say_of_several_variables_is_said_although_another_one_is_wrong() -> None:
    kept = ("LAST", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY", "WITHIN_DAYS")
    lines = [*(f"ARCHON_RETENTION_KEEP_{one}=0" for one in kept), "ARCHON_RECOVERY=always"]
    assert {one.key for one in validate(with_(*lines)).errors} == {"", "ARCHON_RECOVERY"}
    assert validate(with_("ARCHON_S3_KEY=it")).exit_code == 1  # its other half may be a secret of the deployment


def test_an_anonymous_key_is_found_in_the_key_itself() -> None:
    claims = base64.urlsafe_b64encode(json.dumps({"role": "anon"}).encode()).decode().rstrip("=")
    found = validate(with_(f"SUPABASE_SERVICE_KEY=eyJhbGciOiJIUzI1NiJ9.{claims}.c2ln"))
    assert "has the role anon" in problem(found, "SUPABASE_SERVICE_KEY").text


def test_references_are_resolved_within_the_file() -> None:
    found = validate(with_("BASE=https://example.supabase.co", "SUPABASE_URL=${BASE}"))
    assert "not set above it" in problem(found, "SUPABASE_URL").text  # it stands below
    good = b"BASE=https://example.supabase.co\n" + with_("SUPABASE_URL=${BASE}")
    assert [one.key for one in validate(good).problems] == ["BASE"]  # which nobody reads, and that is all
    assert validate(good).file.values["SUPABASE_URL"].value == "https://example.supabase.co"


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "no variable"), (b"\xff\xfe", "not UTF-8"), (b"A=1\n\0", "NUL"), (b"\xef\xbb\xbfA=1", "byte order mark"),
     (b"LOG_LEVEL", "has no value"), (b"=3", "no assignment"), (b"1A=3", "no name"), (b"#" * (2 << 20), "bytes"),
     (b"LOG_LEVEL='INFO", "no assignment")],
)  # fmt: skip
def test_what_is_no_configuration_is_said_to_be_none(content: bytes, said: str) -> None:
    found = validate(content)
    assert any(said in one.text for one in found.errors), found.problems


SECRETS = ("SUPABASE_SERVICE_KEY", "SERVICE_AUTH_TOKEN", "POSTGRES_PASSWORD", "QDRANT_API_KEY", "MY_OWN_API_KEY",
           "MEMGRAPH_PASSWORD", "POSTGRES_DSN", "ARCHON_ALERT_URLS", "ARCHON_HEARTBEAT_URL")  # fmt: skip


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("value", ["'hush hush hush'", "hush\x01hush", "hush$HUSH", "dev-token-hush"])
def test_no_part_of_a_secret_is_shown(name: str, value: str) -> None:
    found = validate(with_(f"{name}={value}", "QDRANT_URL=http://me:hush@qdrant:port"))
    assert "hush" not in repr(found.problems).lower()
    assert "hush" not in repr(found).lower()
    if found.errors:
        with pytest.raises(ConfigurationError) as raised:
            found.raise_for_errors()
        assert "hush" not in str(raised.value).lower()
