"""The sensor that turns confirmed failures into runs of the recovery jobs, one at a time.

It reads what the health monitor has confirmed (small files; nobody is asked anything), keeps the incidents up to date,
and launches a run where something can be done now. Everything it decides is decided by plain functions; here is what
only Dagster knows: which runs there are, which of them are dead, and how one is cancelled.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import dagster as dg

from archon_dagster.alerts.alerting import Alerting
from archon_dagster.alerts.book import Raised
from archon_dagster.alerts.failures import ui_page
from archon_dagster.errors import ConfigurationError
from archon_dagster.health import windows
from archon_dagster.platform import automation
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.settings import Settings
from archon_dagster.recovery.alerting import news, pause_alert, unended
from archon_dagster.recovery.assets import KEY, materialization
from archon_dagster.recovery.book import Book
from archon_dagster.recovery.decision import Escalate, Wait
from archon_dagster.recovery.incident import Incident, Step
from archon_dagster.recovery.jobs import (
    INCIDENT_TAG,
    RECOVERIES,
    disaster_recovery_job,
    full_recovery,
    recover_store,
    restart_failed_services,
)
from archon_dagster.recovery.looking import confirmed
from archon_dagster.recovery.making_way import MAY_BACK_UP, makes_way
from archon_dagster.recovery.noting import Standing, note, note_others, settle
from archon_dagster.recovery.recover import SERVICE_VERBS
from archon_dagster.recovery.tools import WorkerFile, policy_now
from archon_dagster.resources import PLATFORM_POOL, Operations
from archon_dagster.schedules import BUSY

RUNNING = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING]
HOLDING = [*RUNNING, dg.DagsterRunStatus.CANCELING]
QUEUED = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED)
MOST_RUNS = 12  # of one incident that is still open: more only fail again
GRACE = timedelta(seconds=90)  # a run that has never signed may take so long to import what it needs
_PAUSE_AFTER_FAILURE = 10.0  # seconds after a run that failed, doubled for each


@dg.sensor(
    name="disaster_recovery",
    jobs=[restart_failed_services, recover_store, full_recovery],
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Opens an incident for what the health monitor has confirmed, and launches its recovery. "
    "`archon automation pause` stops it.",
)
def disaster_recovery(context: dg.SensorEvaluationContext, operations: Operations) -> dg.SensorResult | dg.SkipReason:
    """One look at what is confirmed; see the module."""
    settings = operations.settings()
    working = _at_work(context.instance, settings)
    try:
        return _Tick(context, settings).beside(working) if working else _Tick(context, settings).run()
    except ConfigurationError as error:  # no platform here
        return dg.SkipReason(error.what)


class _Tick:
    def __init__(self, context: dg.SensorEvaluationContext, settings: Settings):
        self.context, self.settings, self.now = context, settings, datetime.now(UTC)
        self.book, self.policy = Book(settings.home), policy_now(settings, self.now)

    def beside(self, working: dg.DagsterRun) -> dg.SkipReason:
        """While a recovery is at work nothing is launched, but what happens is told."""
        findings = confirmed(self.settings, open_runtime(self.settings))
        if findings is not None:
            settings = self.settings
            note_others(self.book, findings, self.now, settings.recovery_relapse, settings.health_depends)
        held_up = self._held_up(working, findings.at_work if findings is not None else "")
        self._tell()
        return self._skip(f"a recovery is at work: run {working.run_id}{held_up}")

    def _held_up(self, waiting: dg.DagsterRun, work: str) -> str:
        """What a recovery that is queued waits for: said in its incident, and cancelled where it makes way."""
        if waiting.status not in QUEUED:
            return ""
        about = waiting.tags.get(INCIDENT_TAG, "")
        if not self.policy.paused and waiting.job_name != disaster_recovery_job.name:  # that may be about another site
            self._make_way(f"the recovery of incident {about}" if about else f"the run of {waiting.job_name}", work)
        others = self.context.instance.get_runs(dg.RunsFilter(statuses=HOLDING))
        holder = next((one for one in others if _has_the_platform(one)), None)
        if holder is None:
            return ""
        said = f"waits for the run {holder.run_id[:8]} of {holder.job_name}, which has the platform"
        if about and all(not event.text.startswith(said) for event in self.book.get(about).events):
            doing = f" ({work})" if work else ""
            self.book.change(about, lambda one: one.note(self.now, "note", f"{said}{doing}"))
        return f", {said}"

    def _skip(self, said: str) -> dg.SkipReason:
        """Why nothing is launched; that somebody wants hands off comes first."""
        pause = self.policy.paused
        return dg.SkipReason(f"the automation is paused {pause}; {said}" if pause else said)

    def run(self) -> dg.SensorResult | dg.SkipReason:
        findings = confirmed(self.settings, open_runtime(self.settings))
        if findings is None:
            self._tell()
            return self._skip("the health monitor has not looked lately: nothing is known that could be acted on")
        shown = set(self.context.instance.get_dynamic_partitions("incidents"))  # before the incidents are read
        before = {one.id: _state(one) for one in self.book.all()}
        standing = note(self.book, findings, self.policy, self.now, self.settings.recovery_relapse)
        request = self._request(standing, findings.at_work)
        after = self.book.all()
        self.book.prune(self.now, self.settings.incidents_kept, self.settings.incidents_days)
        there = self.book.ids()
        gone = sorted(shown - there)
        changed = [one for one in after if one.id in there and before.get(one.id) != _state(one)]
        self._tell()
        said = self._skip(_said(standing, after, paused=bool(self.policy.paused)))
        if request is None and not changed and not gone:
            return said
        return dg.SensorResult(
            run_requests=[request] if request else [],
            dynamic_partitions_requests=_partitions([one.id for one in changed], gone),
            asset_events=[materialization(self.book, one) for one in changed],
            skip_reason=said if request is None else None,
        )

    def _request(self, standing: Sequence[Standing], work: str) -> dg.RunRequest | None:
        for one in standing:
            if isinstance(one.decision, Step) and (run := self._run_for(one.incident, one.decision)) is not None:
                self._make_way(f"the recovery of incident {one.incident.id}", work)
                return run
        return None

    def _run_for(self, incident: Incident, step: Step) -> dg.RunRequest | None:
        """The run that takes this step; ``None`` while the runs before it say that it would only fail again."""
        runs = _runs_of(self.context.instance, incident)
        if len(runs) >= MOST_RUNS:
            why = f"{len(runs)} runs have not ended it; see their logs"
            settle(self.book, Standing(incident, Escalate(why, self._by_hand(incident))), self.now)
            return None
        if runs and runs[0].failed and self.now < runs[0].ended + timedelta(
            seconds=_PAUSE_AFTER_FAILURE * 2.0 ** (len(runs) - 1)
        ):  # fmt: skip
            return None
        job = _job_for(incident, step)
        return dg.RunRequest(
            run_key=f"{incident.id}/{len(runs) + 1}",
            job_name=job.name,
            run_config={"ops": {f"{job.name}_steps": {"config": {"incident": incident.id}}}},
            tags={INCIDENT_TAG: incident.id},
        )

    def _by_hand(self, incident: Incident) -> tuple[str, ...]:
        return tuple(self.policy.restart_command(name) for name in incident.roots)

    def _make_way(self, recovery: str, work: str) -> None:
        """Cancel the runs that are backing up, see :mod:`archon_dagster.recovery.making_way`. Never a restore."""
        instance, open_ = self.context.instance, windows.ad_hoc(self.settings.home, self.now.timestamp())
        runs = (run for job in MAY_BACK_UP for run in instance.get_runs(dg.RunsFilter(job_name=job, statuses=RUNNING)))
        for run in runs:
            if not makes_way(run.job_name, work, open_):
                continue
            self.context.log.warning(f"the run {run.run_id} of {run.job_name} is cancelled: {recovery} goes first")
            instance.report_engine_event(f"cancelled: {recovery} goes first", run)
            try:
                instance.run_launcher.terminate(run.run_id)
            except Exception as error:  # noqa: BLE001 - whatever a launcher raises: the recovery then waits for the lock
                self.context.log.warning(f"it could not be cancelled: {error}")

    def _tell(self) -> None:
        """Queue what there is to tell; ``alert_delivery`` sends it. A channel that hangs holds up no recovery."""
        alerting = Alerting(self.settings)
        if not alerting.channels:
            return
        told = unended(alerting.file.read().book)  # before the incidents are read: a new one is not taken for gone
        pause = automation.paused(self.settings.home, self.now)
        relapse = self.settings.recovery_relapse
        events = news(self.book.all(), told, self.now, self._link, relapse)
        events += [Raised(pause_alert(pause, self.now))] if pause else []
        for event in events:
            alerting.tell(event)

    def _link(self, incident: Incident) -> str | None:
        return _page(self.settings, self.context.instance, incident)


class _Run(NamedTuple):
    run_id: str
    failed: bool
    ended: datetime


def _job_for(incident: Incident, step: Step) -> dg.JobDefinition:
    """Which job takes this step."""
    if incident.kind == "complete_failure":
        return full_recovery
    data = incident.kind in ("store_lost", "store_corrupt")
    return recover_store if data or step.verb not in SERVICE_VERBS else restart_failed_services


def _runs_of(instance: dg.DagsterInstance, incident: Incident) -> list[_Run]:
    """The runs of an incident, newest first."""
    records = instance.get_run_records(dg.RunsFilter(tags={INCIDENT_TAG: incident.id}), limit=MOST_RUNS + 1)
    return [
        _Run(
            one.dagster_run.run_id,
            one.dagster_run.status == dg.DagsterRunStatus.FAILURE,
            datetime.fromtimestamp(one.end_time or one.create_timestamp.timestamp(), UTC),
        )
        for one in records
    ]


def _at_work(instance: dg.DagsterInstance, settings: Settings) -> dg.DagsterRun | None:
    """A recovery run that is queued or running; one whose process is dead is ended here and now, not in a minute."""
    for job in RECOVERIES:
        for record in instance.get_run_records(dg.RunsFilter(job_name=job, statuses=BUSY)):
            run = record.dagster_run
            started = datetime.fromtimestamp(record.start_time, UTC) if record.start_time else None
            if run.status == dg.DagsterRunStatus.STARTED and started and _is_dead(run.run_id, started, settings):
                instance.report_run_failed(run, "its process is gone; the incident is taken up by another run")
                continue
            return run
    return None


def _is_dead(run_id: str, started: datetime, settings: Settings) -> bool:
    """Its process has signed and is certainly gone; or nobody has the turn, and it has had the time to sign."""
    worker = WorkerFile(settings.home).read()
    if worker is not None and worker.run == run_id:
        return worker.is_dead and not Book(settings.home).at_work
    return datetime.now(UTC) - started > GRACE and not Book(settings.home).at_work


def _has_the_platform(run: dg.DagsterRun) -> bool:
    """A run holds its pools from its start to its end (dagster.yaml)."""
    return run.run_op_concurrency is not None and PLATFORM_POOL in (run.run_op_concurrency.all_pools or ())


def _page(settings: Settings, instance: dg.DagsterInstance, incident: Incident) -> str | None:
    """The newest run of an incident; its own page before there is one."""
    runs = _runs_of(instance, incident)
    return ui_page(
        settings, f"runs/{runs[0].run_id}" if runs else f"assets/{'/'.join(KEY.path)}?partition={incident.id}"
    )


def _partitions(
    changed: list[str], gone: list[str]
) -> list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest]:
    """The partitions are those of the incidents that there are; ``trim_event_log`` removes what is known of others."""
    added = [dg.AddDynamicPartitionsRequest("incidents", changed)] if changed else []
    return [*added, *([dg.DeleteDynamicPartitionsRequest("incidents", gone)] if gone else [])]


def _state(incident: Incident) -> tuple[str, int]:
    return incident.state, len(incident.events)


def _said(standing: Sequence[Standing], incidents: list[Incident], *, paused: bool) -> str:
    """What is broken, and what is waited for; while everything is paused, that is no news of each incident."""
    waiting = [
        one.incident.title if paused else f"{one.incident.title}: {one.decision.why}"
        for one in standing
        if isinstance(one.decision, Wait | Escalate)
    ]
    return "; ".join(waiting) or ("nothing is broken" if not any(one.is_open for one in incidents) else "not yet")
