"""Disaster recovery on demand: nothing without a backup and the word, what is lost comes back, the rest stays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.errors import BackupNotFound, ConfigurationError, ConfirmationMissing
from archon_dagster.platform.settings import load_settings
from archon_dagster.recovery.actions import Hands, Result
from archon_dagster.recovery.book import Book
from archon_dagster.recovery.decision import Wait
from archon_dagster.recovery.findings import Findings
from archon_dagster.recovery.incident import Incident, Step
from archon_dagster.recovery.ladder import next_step
from archon_dagster.recovery.noting import note
from archon_dagster.recovery.site import SiteRequest, SiteTools, lost_stores, recover_site, site_settings
from archon_dagster_tests.unit.platform_double import Platform, failing
from archon_dagster_tests.unit.recovery.picture import CAUTIOUS, picture


class OnlyRestores(Hands):
    """The services of the small platform are switches: only a restore is done for real."""

    def do(self, step: Step, incident: Incident, findings: Findings, now: datetime) -> Result:
        return super().do(step, incident, findings, now) if step.verb == "restore" else Result(True, "done")

    @contextmanager
    def hold(self, step: Step, incident: Incident) -> Iterator[str]:
        yield ""


class Site:
    def __init__(self, home: Path):
        self.platform = Platform(home)
        self.before = self.platform.live()
        self.unwell: list[str] = []
        self.book = Book(home)

    def tools(self) -> SiteTools:
        context = self.platform.context
        hands = OnlyRestores(context.settings, context.runtime, self.book.evidence, context.cancel, lambda: context)
        return SiteTools(
            context, self.book, hands, lambda: picture(self.unwell), lambda: datetime.now(UTC), lambda _: None
        )

    def recover(self, **options: str) -> Incident:
        return recover_site(self.tools(), SiteRequest(**{"confirm": "RESTORE", **options}))  # type: ignore[arg-type]

    def backup(self) -> None:
        take_backup(self.platform.context, BackupRequest(quiesce=False))

    def empty(self, store: str) -> None:
        for record in self.platform.stores[store].folder.iterdir():  # type: ignore[index]
            record.unlink()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr("archon_dagster.restore.restore.wait_until_ready", lambda *_, **__: {})
    return Site(tmp_path / "home")


def verbs(incident: Incident) -> list[str]:
    return [event.step.verb for event in incident.events if event.kind == "started" and event.step]


def test_what_is_lost_comes_back_and_what_is_newer_stays(site: Site) -> None:
    site.backup()
    site.platform.stores["relational"].put("new", "since the backup")
    kept = site.platform.live()["relational"]
    site.empty("graph")
    incident = site.recover()
    assert site.platform.live()["graph"] == site.before["graph"]
    assert site.platform.live()["relational"] == kept
    assert verbs(incident) == ["evidence", "start_all", "restore"]
    assert incident.state == "recovered" and incident.seconds_to_recover is not None
    assert (site.book.directory / incident.id / "report.md").exists()


def test_everything_is_restored_where_that_is_asked_for(site: Site) -> None:
    site.backup()
    for store in site.platform.stores.values():
        store.put("new", "since the backup")
    site.recover(restore="all")
    assert site.platform.live() == site.before


def test_nothing_is_restored_where_only_a_start_is_asked_for(site: Site) -> None:
    site.empty("graph")
    assert verbs(site.recover(restore="nothing")) == ["evidence", "start_all"]


def test_without_a_backup_nothing_is_touched(site: Site) -> None:
    with pytest.raises(BackupNotFound):
        site.recover()
    assert site.platform.runtime.done == [] and site.book.all() == []


def test_without_the_word_nothing_is_touched(site: Site) -> None:
    site.backup()
    site.platform.runtime.done.clear()
    with pytest.raises(ConfirmationMissing):
        site.recover(confirm="yes")
    assert site.platform.runtime.done == [] and site.book.all() == []


def test_a_dead_site_is_never_called_recovered(site: Site) -> None:
    """The runbook's script: everything dead, "Recovery successful!", exit 0."""
    site.backup()
    site.unwell = ["qdrant"]
    incident = site.recover()
    assert incident.state == "escalated" and "qdrant" in incident.events[-1].text and incident.commands


def test_an_external_service_that_is_down_is_named_and_not_waited_for(site: Site) -> None:
    """The runbook's script calls everything with a healthy Ollama a partial failure."""
    site.backup()
    site.unwell = ["ollama"]
    incident = site.recover()
    assert incident.state == "recovered" and "ollama" in incident.events[-1].text


def test_an_outage_of_a_site_is_measured_against_its_own_objective(site: Site) -> None:
    site.backup()
    row, objective = site.recover().objective or ("", None)
    assert row == "data center outage" and objective is not None and objective.target == 4 * 3600


def test_what_breaks_off_is_handed_to_a_person(site: Site) -> None:
    """Nobody else looks at it again, wherever the site is."""
    site.backup()

    def broken() -> Findings:
        raise OSError("the probe machinery is on fire")

    tools = replace(site.tools(), look=broken)
    with pytest.raises(OSError, match="on fire"):
        recover_site(tools, SiteRequest("RESTORE", "standby"))
    (incident,) = site.book.open()
    assert incident.state == "escalated" and "on fire" in incident.events[-1].text
    assert incident.commands[-1] == "then launch disaster_recovery again, with site: standby"


def test_what_is_seen_of_this_platform_says_nothing_about_another_site(site: Site) -> None:
    """Neither that all is well here, nor that something else is broken."""
    site.backup()
    site.unwell = ["qdrant"]
    away = site.recover(site="standby")
    assert away.state == "escalated" and "at site standby" in away.title
    later = datetime.now(UTC)
    assert note(site.book, replace(picture(), at=later), CAUTIOUS, later, relapse=15.0) == []
    assert site.book.get(away.id) == away
    note(site.book, replace(picture(["qdrant"]), at=later), CAUTIOUS, later, relapse=15.0)
    assert [one.roots for one in site.book.here()] == [("qdrant",)] and site.book.get(away.id) == away
    decision = next_step(away, picture(), CAUTIOUS, later)
    assert isinstance(decision, Wait) and "site standby" in decision.why


def test_the_next_recovery_of_a_site_ends_the_one_before(site: Site) -> None:
    site.backup()
    site.unwell = ["qdrant"]
    first = site.recover(site="standby")
    site.unwell = []
    assert site.recover(site="standby").state == "recovered"
    assert site.book.get(first.id).state == "merged" and site.book.open() == []


def test_a_restore_that_failed_is_not_called_a_recovery(site: Site) -> None:
    site.backup()
    site.empty("graph")
    site.platform.stores["graph"].fault = failing("restore")
    assert site.recover().state == "escalated"


def test_a_store_that_cannot_be_counted_is_lost(site: Site) -> None:
    site.backup()
    site.platform.stores["vectors"].fault = failing("describe")
    manifest = site.platform.repository.resolve("latest")
    assert list(lost_stores(dict(site.platform.stores), manifest)) == ["vectors"]


def test_a_site_is_a_file_of_settings(tmp_path: Path) -> None:
    file = tmp_path / "standby.env"
    file.write_text("QDRANT_URL=http://127.0.0.1:7333\nARCHON_RUNTIME=elsewhere\n")
    settings = load_settings(ARCHON_HOME=tmp_path, ARCHON_SITES={"standby": str(file)})
    standby = site_settings(settings, "standby")
    assert (standby.qdrant_url, standby.home) == ("http://127.0.0.1:7333", tmp_path / "sites" / "standby")
    assert site_settings(settings, "primary") is settings
    with pytest.raises(ConfigurationError, match="there are primary, standby"):
        site_settings(settings, "elsewhere")
    file.unlink()
    with pytest.raises(ConfigurationError, match="missing"):
        site_settings(settings, "standby")


@pytest.mark.parametrize("sites", [{"primary": "/x.env"}, {"Stand By": "/x.env"}, {"standby": "x.env"}])
def test_what_is_no_site(tmp_path: Path, sites: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        load_settings(ARCHON_HOME=tmp_path, ARCHON_SITES=sites)
