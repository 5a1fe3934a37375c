"""Disaster recovery on demand: bring the platform up at a site and put back what is not there.

A *site* is a name in the settings: ``primary`` is the platform of these settings, any other one is a file with the
settings of that site (its addresses, its runtime, and the repository as it is reached from there). Nobody but a person
decides that a site is lost: this is never started by a sensor.

The order: resolve the backup (nothing is touched where there is none) -> evidence -> start everything by its
dependencies -> count -> restore what is missing, or all -> look again -> report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from dotenv import dotenv_values

from archon_dagster.backup.checks import counts_of
from archon_dagster.context import OperationContext
from archon_dagster.errors import ArchonError, ConfigurationError, ConfirmationMissing
from archon_dagster.platform.recovery_settings import PRIMARY
from archon_dagster.platform.services import BY_NAME
from archon_dagster.platform.settings import Settings, settings_of
from archon_dagster.recovery.actions import Hands, Result
from archon_dagster.recovery.book import Book
from archon_dagster.recovery.data_loss import HOLDER
from archon_dagster.recovery.decision import Escalate
from archon_dagster.recovery.findings import Findings
from archon_dagster.recovery.incident import Event, Incident, Step, open_incident
from archon_dagster.recovery.noting import escalated
from archon_dagster.recovery.report import write_report
from archon_dagster.repository.manifest import Manifest
from archon_dagster.restore.request import CONFIRMATION
from archon_dagster.stores.base import STORES, Store, StoreName

Restore = Literal["lost", "all", "nothing"]

_ENOUGH = 0.5  # share of the backup's records; a store with less has lost its data


@dataclass(frozen=True, slots=True)
class SiteRequest:
    """What to recover.

    :param site: ``primary`` or a name of ``ARCHON_SITES``. :param selector: which backup.
    :param restore: stores that are empty or have far fewer records than the backup; all it has; or none.
    """

    confirm: str
    site: str = PRIMARY
    selector: str = "latest"
    restore: Restore = "lost"


@dataclass(frozen=True)
class SiteTools:
    """What is needed at a site. :param look: asks everything anew."""

    context: OperationContext
    book: Book
    hands: Hands
    look: Callable[[], Findings]
    clock: Callable[[], datetime]
    tell: Callable[[str], None]


def site_settings(settings: Settings, site: str) -> Settings:
    """The settings of a site; :class:`ConfigurationError` where there is no such site, or no such file."""
    if site == PRIMARY:
        return settings
    file = settings.sites.get(site)
    if file is None:
        known = ", ".join((PRIMARY, *settings.sites))
        raise ConfigurationError(f"no such site: {site}", todo=f"there are {known}; name others in ARCHON_SITES")
    if not file.is_file():
        raise ConfigurationError(f"the settings of site {site} are missing", where=str(file), todo="put them there")
    home = dotenv_values(file).get("ARCHON_HOME")
    return settings_of(Path(home) if home else settings.home / "sites" / site, file)


def recover_site(tools: SiteTools, request: SiteRequest) -> Incident:
    """Recover a site; see the module. The incident says how it went, and is escalated where something is not well.

    :raises ConfirmationMissing: nothing was touched. :raises BackupNotFound: nothing was touched.
    """
    if request.confirm != CONFIRMATION:
        raise ConfirmationMissing(
            "a disaster recovery may replace live data and was not confirmed; nothing was touched",
            todo=f"pass confirm: {CONFIRMATION}",
        )
    manifest = None if request.restore == "nothing" else resolve(tools.context, request.selector)
    with tools.book.turn():
        return _Site(tools, request, manifest).run()


def resolve(context: OperationContext, selector: str) -> Manifest:
    """The backup; ``latest`` is the newest good one that has at least every database."""
    stores = tuple(name for name in STORES if name != "configuration") if selector == "latest" else None
    return context.repository.resolve(selector, stores=stores)


class _Site:
    def __init__(self, tools: SiteTools, request: SiteRequest, manifest: Manifest | None):
        self.tools, self.request, self.manifest = tools, request, manifest
        services = tools.context.runtime.services() or tuple(HOLDER.values())
        said = f"disaster recovery of site {request.site} from {manifest.id if manifest else 'no backup'}, on demand"
        names = tuple(name for name in services if name in BY_NAME)
        now = tools.clock()
        made = open_incident("complete_failure", names, names, now, text=said, manual=True, site=request.site)
        self.id = tools.book.add(made).id
        self.services = names
        for one in tools.book.open():
            if one.elsewhere and one.site == request.site and one.id != self.id:  # nobody else ever looks at it again
                tools.book.change(one.id, lambda it: it.note(now, "merged", f"tried again: see incident {self.id}"))

    def run(self) -> Incident:
        try:
            self._do(Step(verb="evidence", services=self.services))
            if self.tools.context.runtime.services():
                self._do(Step(verb="start_all", services=self._broken()))
            self._restore()
            self._judge()
        except Exception as error:
            self._hand_over(f"it broke off: {error}")
            raise
        finally:
            incident = self.tools.book.get(self.id)
            write_report(self.tools.book, incident, self.tools.clock())
        return self.tools.book.get(self.id)

    def _broken(self) -> tuple[str, ...]:
        """Who is stopped first if it runs: not who is well, nor a store that runs without its data."""
        findings = self.tools.look()
        at_stake = {proof.store for proof in findings.proofs}
        return tuple(name for name in self.services if name in findings.unwell and BY_NAME[name].store not in at_stake)

    def _restore(self) -> None:
        if self.manifest is None:
            return
        for store in self._wanted(self.manifest):
            holder = HOLDER.get(store)
            step = Step(
                verb="restore", services=(holder,) if holder else (), store=store, backup=self.manifest.id
            )  # fmt: skip
            self._do(step)

    def _wanted(self, manifest: Manifest) -> list[StoreName]:
        if self.request.restore == "all":
            return list(manifest.stores)  # type: ignore[arg-type]
        missing = lost_stores(self.tools.context.stores, manifest)
        for store, why in missing.items():
            self._say(f"{store}: {why}")
        return list(missing)

    def _judge(self) -> None:
        findings, now = self.tools.look(), self.tools.clock()
        incident = self.tools.book.get(self.id)
        failed = [event for event in incident.events if event.kind == "finished" and event.ok is False]
        own = [name for name in findings.unwell if not BY_NAME[name].external]
        outside = [name for name in findings.unwell if BY_NAME[name].external]
        if own or any(event.step is not None and event.step.verb == "restore" for event in failed):
            said = "; ".join(findings.unwell[name].detail for name in own) or failed[-1].text.partition("\n")[0]
            self._hand_over(f"not well: {said}")
            return
        rest = f"; not well, and somebody else's: {', '.join(outside)}" if outside else ""
        self.tools.book.change(self.id, lambda one: one.note(now, "recovered", f"every service of ours is well{rest}"))

    def _hand_over(self, why: str) -> None:
        now, site = self.tools.clock(), self.request.site
        look = ("archon health", "archon status") if site == PRIMARY else (f"see what is wrong at site {site}",)
        asked = Escalate(why, (*look, f"then launch disaster_recovery again, with site: {site}"))
        self.tools.book.change(self.id, lambda one: escalated(one, asked, now))

    def _do(self, step: Step) -> Result:
        begun = self.tools.clock()
        incident = self.tools.book.change(
            self.id, lambda one: one.with_event(Event(at=begun, kind="started", step=step))
        )
        self.tools.tell(f"started: {step}")
        try:
            with self.tools.hands.hold(step, incident):
                result = self.tools.hands.do(step, incident, Findings(begun), begun)
        except ArchonError as error:
            self._finish(step, begun, Result(False, str(error)))
            raise
        self._finish(step, begun, result)
        return result

    def _finish(self, step: Step, begun: datetime, result: Result) -> None:
        now = self.tools.clock()
        took = max(0.0, (now - begun).total_seconds())
        event = Event(at=now, kind="finished", text=result.detail[:8000], step=step, ok=result.ok, seconds=took)
        self.tools.book.change(self.id, lambda one: one.with_event(event))
        self.tools.tell(f"{'done' if result.ok else 'FAILED'}: {step} ({took:.1f} s)")

    def _say(self, text: str) -> None:
        now = self.tools.clock()
        self.tools.book.change(self.id, lambda one: one.note(now, "note", text))
        self.tools.tell(text)


def lost_stores(stores: Mapping[StoreName, Store], manifest: Manifest) -> dict[StoreName, str]:
    """The stores of a backup that hold far less than it, or cannot be counted; each with the reason."""
    found: dict[StoreName, str] = {}
    for name in STORES:
        before = {part: count for part, count in counts_of(manifest, name).items() if part != "roles"}
        if not manifest.of_store(name) or name not in stores:
            continue
        try:
            now = stores[name].describe().counts
        except ArchonError as error:
            found[name] = f"it cannot be counted: {error.what}"
            continue
        have, had = sum(now.get(part, 0) for part in before), sum(before.values())
        gone = [part for part, count in before.items() if count and not now.get(part)]
        if have < had * _ENOUGH or (gone and name == "vectors"):
            named = f"; empty or gone: {', '.join(gone)}" if gone else ""
            found[name] = f"{have:,} records, {had:,} in the backup{named}"
    return found
