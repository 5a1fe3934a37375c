"""The page that leads from the runbook to here names what there is: jobs, verbs, pages, tests; and every fault once."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from archon_dagster.cli.main import app
from archon_dagster.definitions import defs
from archon_dagster.maintenance.catalogue import STEPS
from archon_dagster_tests.named_tests import DOCS, require_named_tests

PAGE = DOCS / "runbook.md"
FAULTS = 98
SCRIPTS = (
    "01-start-infrastructure.sh", "02-start-applications.sh", "03-start-mcp.sh", "validate-deployment.sh",
    "start-archon.sh", "cold-start.sh", ".env.production", ".env.development", "validate-config.sh",
    "update-config.sh", "health-check-all.sh", "prometheus.yml", "archon_alerts.yml", "daily-backup.sh",
    "restore-from-backup.sh", "disaster-recovery.sh", "scale-search-service.sh", "docker-compose.scale.yml",
    "docker-compose.autoscale.yml", "optimize-resources.sh", "docker-compose.resources.yml", "weekly-maintenance.sh",
    "security-updates.sh", "p0-response.sh", "restart-failed-services.sh", "performance-monitor.sh",
    "optimize-performance.sh",
)  # fmt: skip
TEXT = PAGE.read_text()


def table(heading: str) -> list[list[str]]:
    """The cells of the rows of the table below a heading."""
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


REPLACED = table("What replaces what")
FAULT_ROWS = table("The faults of the runbook's scripts")


def test_every_script_has_its_row() -> None:
    assert {len(row) for row in REPLACED} == {4}
    first = " ".join(row[0] for row in REPLACED)
    assert [name for name in SCRIPTS if f"`{name}`" not in first] == []


@cache
def there_is() -> dict[str, set[str]]:
    repository = defs.get_repository_def()
    return {
        "job": set(repository.job_names),
        "schedule": {one.name for one in repository.schedule_defs},
        "sensor": {one.name for one in repository.sensor_defs},
    }


@pytest.mark.parametrize("kind", ["job", "schedule", "sensor"])
def test_every_job_schedule_and_sensor_exists(kind: str) -> None:
    named = set(re.findall(rf"\b{kind} `(\w+)`", TEXT))
    assert named
    assert named - there_is()[kind] == set()


def test_every_step_of_the_maintenance_exists() -> None:
    named = set(re.findall(r"\bstep `(\w+)`", TEXT))
    assert named
    assert named - {step.name for step in STEPS} == set()


def test_every_verb_exists_with_its_options() -> None:
    typed = re.findall(r"`archon ((?:[a-z]|-)[^`]*)`", TEXT)
    assert len(typed) > 30
    assert [words for words in typed if not is_a_command(words.split())] == []


def is_a_command(words: list[str]) -> bool:
    """Whether the command line begins with a verb of the program, and every option is one of it."""
    command: Any = typer.main.get_command(app)
    verb: list[str] = []
    while words and words[0] in verbs_of(command):
        command, verb, words = verbs_of(command)[words[0]], [*verb, words[0]], words[1:]
    missing = bool(verbs_of(command)) and bool(words) and not words[0].startswith("-")
    known = {option for parameter in command.params for option in parameter.opts}
    return bool(verb) and not missing and {word for word in words if word.startswith("-")} <= known


def verbs_of(command: Any) -> dict[str, Any]:
    """The verbs of a group; none where it is a verb itself."""
    return getattr(command, "commands", {})


def test_every_page_that_is_linked_exists() -> None:
    linked = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert linked
    assert [link for link in linked if not (DOCS / link).is_file()] == []


def test_every_fault_is_there_once_and_in_order() -> None:
    assert {len(row) for row in FAULT_ROWS} == {4}
    assert [row[0] for row in FAULT_ROWS] == [str(number) for number in range(1, FAULTS + 1)]


@pytest.mark.parametrize("row", FAULT_ROWS, ids=lambda row: row[0])
def test_every_fault_names_tests_that_exist(row: list[str]) -> None:
    assert all(row)
    require_named_tests(row[3])


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_the_operators_pages_are_readable_text(page: Path) -> None:
    """UTF-8, and not UTF-8 that was once read as something else, as in the runbook's headings."""
    text = page.read_bytes().decode("utf-8", errors="strict")
    assert re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffd]|â[€”•]|Ã[\x80-¿]|ðŸ", text) == []
