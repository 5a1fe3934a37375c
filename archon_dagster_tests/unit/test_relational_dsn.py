"""DSNs as environment variables."""

from __future__ import annotations

import pytest

from archon_dagster.errors import ConfigurationError
from archon_dagster.stores.relational.dsn import environment_of
from archon_dagster.stores.relational.programs import major_version


def test_a_url_is_taken_apart() -> None:
    assert environment_of("postgresql://me%40x:p%2Fw@db.example:6543/my%20db?sslmode=require&application_name=a") == {
        "PGHOST": "db.example", "PGPORT": "6543", "PGDATABASE": "my db", "PGUSER": "me@x", "PGPASSWORD": "p/w",
        "PGSSLMODE": "require", "PGAPPNAME": "a",
    }  # fmt: skip


def test_pairs_are_taken_apart() -> None:
    assert environment_of(r"host=h port = 5432 password='it\'s a \\ word' dbname=d") == {
        "PGHOST": "h", "PGPORT": "5432", "PGPASSWORD": r"it's a \ word", "PGDATABASE": "d",
    }  # fmt: skip


@pytest.mark.parametrize(
    "dsn", ["postgres://u:s3cret@h:port/d", "host=h s3cret", "host=h s3cret=1", "postgresql://u:s3cret@h/d?magic=on"]
)
def test_a_wrong_one_is_refused_without_repeating_the_password(dsn: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        environment_of(dsn)
    assert "s3cret@" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "major"),
    [("pg_dump (PostgreSQL) 18.4", 18), ("pg_restore (PostgreSQL) 15.10 (Debian 15.10-0+deb12u1)", 15),
     ("19beta1", 19), ("18.4", 18), ("", 0)],
)  # fmt: skip
def test_the_major_version_is_found(text: str, major: int) -> None:
    assert major_version(text) == major
