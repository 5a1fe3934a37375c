"""What the rules say of secrets and of several variables together, and where."""

from __future__ import annotations

import pytest

from archon_dagster.configuration.validation import validate
from archon_dagster_tests.unit.configuration.sample import line_of, with_


@pytest.mark.parametrize(
    "name", ["MY_OWN_API_KEY", "GITHUB_TOKEN", "SESSION_SECRET", "REDIS_PASSWORD", "ARCHON_S3_SECRET"]
)
def test_an_empty_secret_is_told_also_of_a_variable_that_nobody_knows(name: str) -> None:
    for place, severity in (("production", "error"), ("development", "warning")):
        content = with_(f"{name}=", f"ARCHON_ENVIRONMENT={place}")
        (told,) = [one for one in validate(content).problems if "is empty" in one.text]
        assert (told.key, told.severity, told.line) == (name, severity, line_of(content, name))


def test_what_is_no_secret_may_be_empty() -> None:
    assert not [one for one in validate(with_("MY_OWN_NAME=")).problems if "is empty" in one.text]


def test_what_several_variables_say_together_is_told_where_the_first_of_them_stands() -> None:
    kept = ("LAST", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY", "WITHIN_DAYS")
    content = with_(*(f"ARCHON_RETENTION_KEEP_{one}=0" for one in kept))
    (told,) = validate(content).errors
    assert told.line == line_of(content, "ARCHON_RETENTION_KEEP_LAST")
