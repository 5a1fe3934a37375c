"""What an operator sees: `archon up` on a new home, a backup and a restore, looked at in a real browser.

Set ARCHON_TEST_SCREENSHOTS to a folder to keep the pictures.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from archon_dagster_tests.eventually import eventually
from archon_dagster_tests.processes import processes_under
from drills.letterbox import Letterbox, letterbox

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.sandbox, pytest.mark.browser, pytest.mark.timeout(600)]

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
]  # fmt: skip


@dataclass
class Ui:
    """A control plane that was started as a user starts it."""

    url: str
    home: Path
    process: subprocess.Popen[str]
    letters: Letterbox

    def archon(self, *arguments: str) -> str:
        """A command typed in another shell."""
        done = subprocess.run(
            [sys.executable, "-m", "archon_dagster.cli", *arguments],
            env={**os.environ, "ARCHON_HOME": str(self.home)},
            capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def incidents(self) -> list[dict[str, Any]]:
        """What ``archon incidents`` lists; its exit code says whether one is open."""
        done = subprocess.run(
            [sys.executable, "-m", "archon_dagster.cli", "incidents", "--json"],
            env={**os.environ, "ARCHON_HOME": str(self.home)},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    home = tmp_path_factory.mktemp("ui")
    log = home / "up.log"
    command = [sys.executable, "-m", "archon_dagster.cli", "up", "--port", "0"]
    stack = ExitStack()
    letters = stack.enter_context(letterbox())
    environment = {**os.environ, "ARCHON_HOME": str(home), "ARCHON_ALERT_URLS": letters.url}
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, text=True, env=environment)
    try:
        ready = eventually(lambda: re.search(r"^ready\s+(\S+)", log.read_text(), re.MULTILINE), 180)
        assert ready is not None
        made = Ui(ready[1], home, process, letters)
        made.archon("backup")
        made.archon("restore", "latest", "--confirm", "RESTORE")
        yield made
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(120)
        stack.close()


@pytest.fixture(scope="module")
def page(ui: Ui) -> Iterator[Page]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield browser.new_page(viewport={"width": 1600, "height": 1000})
        browser.close()


def picture(page: Page, name: str, height: int = 1000) -> None:
    """Keep what is seen, down to so many pixels."""
    folder = os.environ.get("ARCHON_TEST_SCREENSHOTS")
    if folder:
        page.screenshot(path=f"{folder}/{name}.png", clip={"x": 0, "y": 0, "width": 1600, "height": height})


def test_the_asset_graph_shows_live_data_and_the_backup_made_of_it(ui: Ui, page: Page) -> None:
    page.goto(f"{ui.url}/asset-groups")
    page.get_by_text("live_data", exact=True).last.wait_for(timeout=60_000)
    page.keyboard.press("e")
    page.goto(f"{ui.url}/locations/archon/asset-groups/backup/lineage")
    page.get_by_text("vector_snapshots", exact=True).last.wait_for(timeout=60_000)
    for name in ("graph_export", "database_dump", "configuration_files", "sealed", "catalogue"):
        page.get_by_text(name, exact=True).last.wait_for(timeout=60_000)
    page.get_by_text("Passed", exact=False).first.wait_for(timeout=60_000)
    picture(page, "asset-graph")


def test_the_backup_launchpad_needs_nothing_typed(ui: Ui, page: Page) -> None:
    page.goto(f"{ui.url}/locations/archon/jobs/backup/playground")
    button = page.get_by_role("button", name="Launch Run")
    button.wait_for(timeout=60_000)
    eventually(button.is_enabled, 30)
    picture(page, "backup-launchpad")


def test_the_restore_launchpad_asks_for_the_word(ui: Ui, page: Page) -> None:
    page.goto(f"{ui.url}/locations/archon/jobs/restore/playground")
    page.get_by_text('Missing required config entry "confirm"').wait_for(timeout=60_000)
    assert page.get_by_role("button", name="Launch Run").is_disabled()
    picture(page, "restore-launchpad")


def test_the_sealed_backup_shows_its_checks(ui: Ui, page: Page) -> None:
    page.goto(f"{ui.url}/assets/backup/sealed?view=checks")
    for check in ("complete", "digests", "readable", "counts_match_live", "counts_plausible"):
        page.get_by_text(check, exact=True).first.wait_for(timeout=60_000)
    picture(page, "checks")


def test_the_catalogue_shows_a_page_for_every_backup(ui: Ui, page: Page) -> None:
    backup = re.search(r"backup (\d{8}T\d{6}Z-[0-9a-f]{4})", ui.archon("backups", "show", "latest"))
    assert backup is not None
    page.goto(f"{ui.url}/assets/backup/catalogue?partition={backup[1]}&view=partitions")
    page.get_by_text(backup[1]).first.wait_for(timeout=60_000)
    picture(page, "catalogue")


def test_the_restore_run_says_what_it_did(ui: Ui, page: Page) -> None:
    query = '{ runsOrError(filter: {pipelineName: "restore"}) { ... on Runs { results { runId status } } } }'
    runs = httpx.post(f"{ui.url}/graphql", json={"query": query}, timeout=30).json()["data"]["runsOrError"]["results"]
    assert [run["status"] for run in runs] == ["SUCCESS"]
    page.goto(f"{ui.url}/runs/{runs[0]['runId']}")
    page.get_by_text("compare fingerprints").first.wait_for(timeout=60_000)
    picture(page, "restore-run")


def test_the_daily_schedule_is_on(ui: Ui, page: Page) -> None:
    page.goto(f"{ui.url}/automation")
    page.get_by_text("daily_backup", exact=True).first.wait_for(timeout=60_000)
    picture(page, "automation")


def test_a_killed_service_is_red_told_recovered_and_green_again(ui: Ui, page: Page) -> None:
    """Nobody touches anything after the kill; each look is a fresh one, as an operator's."""
    checks = f"{ui.url}/assets/health/archon-mcp?view=checks&checkDetail=reachable"
    before = {one["id"] for one in ui.incidents()}
    ui.archon("sandbox", "kill", "archon-mcp")

    def shown(result: str) -> bool:
        page.goto(checks)
        page.get_by_text("Evaluation result", exact=True).wait_for(timeout=60_000)
        return page.get_by_text(result, exact=True).count() > 0

    eventually(lambda: shown("Failed"), 120)
    picture(page, "incident-red", 580)

    def over() -> list[dict[str, Any]]:
        return [one for one in ui.incidents() if one["id"] not in before and one["state"] == "recovered"]

    (incident,) = eventually(over, 180)
    eventually(lambda: len(ui.letters.about(incident["id"])) >= 2, 60)
    titles = ui.letters.about(incident["id"])
    assert len(titles) == 2 and "resolved" in titles[1].lower()
    page.goto(f"{ui.url}/assets/recovery/incidents?partition={incident['id']}&view=partitions")
    page.get_by_text(incident["id"]).first.wait_for(timeout=60_000)
    page.get_by_text("report", exact=True).first.wait_for(timeout=60_000)
    picture(page, "incident-report")
    page.goto(f"{ui.url}/runs")
    page.get_by_text("restart_failed_services").first.wait_for(timeout=60_000)
    picture(page, "incident-run")

    eventually(lambda: shown("Passed") and not shown("Failed"), 90)
    picture(page, "incident-green", 580)
    show_notices(page, [notice for notice in ui.letters.notices if incident["id"] in notice[1]])
    picture(page, "incident-notices", 440)


def show_notices(page: Page, notices: list[tuple[str, str]]) -> None:
    """The notices as their receiver has them: nothing but title and text."""
    letters = "".join(f"<h3>{html.escape(title)}</h3><pre>{html.escape(text)}</pre>" for title, text in notices)
    page.set_content(f"<body style='font: 17px sans-serif; margin: 2em'>{letters}</body>")


def test_ctrl_c_stops_all_of_it(ui: Ui) -> None:
    ui.process.send_signal(signal.SIGINT)
    assert ui.process.wait(120) in (0, 130)
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"{ui.url}/server_info", timeout=5)
    assert processes_under(ui.home) == []
