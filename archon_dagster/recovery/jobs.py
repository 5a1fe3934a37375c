"""The jobs of recovery: three that the sensor launches, and two for operators."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, TypeVar

import dagster as dg
from pydantic import Field

from archon_dagster.alerts.alerting import Alerting
from archon_dagster.alerts.book import Cleared, Raised
from archon_dagster.alerts.failures import SEVERITY_TAG, run_page
from archon_dagster.cancelling import run_cancellable
from archon_dagster.context import open_context
from archon_dagster.errors import ArchonError
from archon_dagster.platform.recovery_settings import PRIMARY
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.settings import Settings
from archon_dagster.recovery.actions import Hands
from archon_dagster.recovery.alerting import alert_of, outcome_of, subject
from archon_dagster.recovery.assets import record
from archon_dagster.recovery.book import Book
from archon_dagster.recovery.by_hand import recover_by_hand
from archon_dagster.recovery.incident import Incident, Verb
from archon_dagster.recovery.looking import fresh
from archon_dagster.recovery.p0 import p0_response
from archon_dagster.recovery.recover import ALL_VERBS, SERVICE_VERBS, STORE_VERBS, Outcome, Recovery, respond
from archon_dagster.recovery.site import SiteRequest, SiteTools, recover_site, site_settings
from archon_dagster.recovery.tools import WorkerFile, recovery_of
from archon_dagster.resources import EXECUTOR, PLATFORM_POOL, Operations

T = TypeVar("T")

CLEAN_UP = 3600.0  # seconds a terminated recovery may take: a restore in it puts the data back
FIRST = "100"
"""The priority of recoveries: before everything else in the queue."""

INCIDENT_TAG = "archon/incident"


class IncidentConfig(dg.Config):
    """Which incident; as it is, the platform is looked at now and whatever is broken is recovered."""

    incident: str = Field(default="", description="The id of an open incident; empty: look now, take what is first.")


class P0Config(dg.Config):
    """A critical issue, in words."""

    description: str = Field(description="What is wrong, in a sentence: it goes into the report and the notification.")


class DisasterConfig(dg.Config):
    """Bring the platform up at a site and put back what is missing there."""

    confirm: Literal["RESTORE"] = Field(description="Type RESTORE: what is missing is replaced from the backup.")
    site: str = Field(default="primary", description="`primary`, or a name of ARCHON_SITES.")
    selector: str = Field(default="latest", description="`latest`, a backup id, a unique prefix, or a date YYYYMMDD.")
    restore: Literal["lost", "all", "nothing"] = Field(
        default="lost", description="Restore the stores that have lost their data, all of the backup, or nothing."
    )


def _recovery_job(name: str, verbs: frozenset[Verb], runtime: str, description: str) -> dg.JobDefinition:
    @dg.op(name=f"{name}_steps", pool=PLATFORM_POOL, description=description)
    def steps(context: dg.OpExecutionContext, config: IncidentConfig, operations: Operations) -> None:
        by_hand = is_by_hand(context.run)

        def work(settings: Settings, recovery: Recovery) -> list[Outcome]:
            if by_hand:
                return recover_by_hand(recovery, verbs, config.incident)
            return respond(recovery, config.incident, verbs)

        outcomes = _in_run(context, operations, work)
        conclude(context, operations.settings(), outcomes, about=config.incident, by_hand=by_hand)

    @dg.job(
        name=name,
        executor_def=EXECUTOR,
        # an incident has its own alert: a failed run is no second one
        tags={"dagster/max_runtime": runtime, "dagster/priority": FIRST, SEVERITY_TAG: "none"},
        description=description,
    )
    def job() -> None:
        steps()

    return job


restart_failed_services = _recovery_job(
    "restart_failed_services",
    SERVICE_VERBS,
    "3600",
    "Keep evidence, then restart what failed, root cause first; recreate it where that does not help. Data are never "
    "touched. Launch it as it is to recover whatever is broken now.",
)
recover_store = _recovery_job(
    "recover_store",
    STORE_VERBS,
    "86400",
    "Recover a store that is proven to be lost or corrupt: its files are kept aside, then what is lost is restored "
    "from the newest good backup, where ARCHON_RECOVERY=restore allows that. Otherwise it says what to type.",
)
full_recovery = _recovery_job(
    "full_recovery",
    ALL_VERBS,
    "86400",
    "Everything is down: keep evidence, start everything by its dependencies, then see what the stores have lost.",
)


@dg.op(pool=PLATFORM_POOL, description="Assess, make room, recover, bring everybody back, notify, report.")
def respond_to_p0(context: dg.OpExecutionContext, config: P0Config, operations: Operations) -> None:
    """A critical issue; see :mod:`archon_dagster.recovery.p0`."""
    link = run_page(operations.settings(), context.run.run_id)

    def work(settings: Settings, recovery: Recovery) -> list[Outcome]:
        def notify(incident: Incident, said: str) -> str:
            return tell_people(settings, incident, said, link)

        return list(p0_response(config.description, recovery, settings, open_runtime(settings), notify).outcomes)

    conclude(context, operations.settings(), _in_run(context, operations, work), by_hand=True)


@dg.op(pool=PLATFORM_POOL, description="Start a site, restore what is missing there, look whether it is well.")
def recover_a_site(context: dg.OpExecutionContext, config: DisasterConfig, operations: Operations) -> None:
    """On demand only; see :mod:`archon_dagster.recovery.site`."""
    request = SiteRequest(config.confirm, config.site, config.selector, config.restore)

    def work(settings: Settings, recovery: Recovery) -> list[Outcome]:
        assert isinstance(recovery.hands, Hands)
        incident = recover_site(_site_tools(settings, recovery, recovery.hands.cancel, config.site), request)
        how: Literal["recovered", "escalated"] = "recovered" if incident.state == "recovered" else "escalated"
        return [Outcome(incident, how, incident.events[-1].text)]

    conclude(context, operations.settings(), _in_run(context, operations, work, config.site))


@dg.job(
    name="p0_response",
    executor_def=EXECUTOR,
    tags={"dagster/max_runtime": "86400", "dagster/priority": FIRST},
    description="The response to a critical issue: describe it, launch. Services that do not matter are stopped "
    "meanwhile and always come back; people are told; the report is with the incident.",
)
def p0_response_job() -> None:
    """One op: what was stopped must come back in the same process."""
    respond_to_p0()


@dg.job(
    name="disaster_recovery",
    executor_def=EXECUTOR,
    tags={"dagster/max_runtime": "86400", "dagster/priority": FIRST},
    description="For operators, on demand: bring the platform up at a site (also on an empty machine) and restore what "
    "is missing there from a backup. Never started by itself.",
)
def disaster_recovery_job() -> None:
    """One op: the whole ladder."""
    recover_a_site()


JOBS = [restart_failed_services, recover_store, full_recovery, p0_response_job, disaster_recovery_job]
RECOVERIES = tuple(job.name for job in JOBS)


def is_by_hand(run: dg.DagsterRun) -> bool:
    """Whether a person has launched it: it is not the sensor's, or it is one of the sensor's launched again."""
    return INCIDENT_TAG not in run.tags or run.parent_run_id is not None


def _in_run(
    context: dg.OpExecutionContext,
    operations: Operations,
    work: Callable[[Settings, Recovery], T],
    site: str = PRIMARY,
) -> T:
    """Recover so that terminating the run stops it cleanly; needs no repository before something is restored.

    :param site: whose services it is about: a lost primary site need not be there for another one to be recovered.
    """
    settings, cancel = operations.settings(), threading.Event()
    WorkerFile(settings.home).sign(context.run.run_id)
    try:
        runtime = open_runtime(site_settings(settings, site))
        recovery = recovery_of(
            settings,
            runtime,
            cancel,
            open_context=lambda: operations.open(cancel, lambda _: None),
            tell=context.log.info,
        )
        return run_cancellable(lambda: work(settings, recovery), cancel, cleanup_limit=CLEAN_UP)
    except ArchonError as error:
        raise dg.Failure(
            description=str(error), metadata={"kind": type(error).__name__}, allow_retries=False
        ) from error


def conclude(
    context: dg.OpExecutionContext,
    settings: Settings,
    outcomes: list[Outcome],
    *,
    about: str = "",
    by_hand: bool = False,
) -> None:
    """Show what came of it; a run whose incident needs a person is red.

    :param about: the incident that the run was started for; what it met besides has its own alert, and no say in its
        colour. Empty: it was started for whatever is broken.
    :param by_hand: a person has launched it, and takes green for *mended*: red while anything is still open.
    """
    book = Book(settings.home)
    now = {one.incident.id: book.get(one.incident.id) for one in outcomes}
    for incident in now.values():
        record(context, book, incident)
    said = [f"{one.incident.id} {one.incident.title}: {one.how}, {one.why}" for one in outcomes]
    context.log.info("\n".join(said) or "nothing is broken")
    mine = [one for one in outcomes if about in ("", one.incident.id)]
    left = [one for one in mine if one.how == "escalated" or (by_hand and now[one.incident.id].is_open)]
    if left:
        handed = any(one.how == "escalated" for one in left)
        commands = [command for one in left for command in now[one.incident.id].commands] or ["archon incidents"]
        first = "a person is needed:" if handed else "something is still not well:"
        # its incident tells of it; the run of an operator's job that fails before there is one tells of itself
        context.instance.add_run_tags(context.run_id, {SEVERITY_TAG: "none"})
        raise dg.Failure("\n".join([first, *said, "what to do:", *commands]), allow_retries=False)


def tell_people(settings: Settings, incident: Incident, said: str, link: str | None) -> str:
    """Tell everybody of a critical issue at once, also while alerts are silent; what came of it, in words."""
    alerting = Alerting(settings)
    if not alerting.channels:
        return "nobody was told: no channel is configured (ARCHON_ALERT_URLS)"
    alert = replace(alert_of(incident, link), always=True)
    if incident.roots:
        alerting.tell(Raised(replace(alert, severity="critical")))
    else:  # nothing was found: whoever reported it has still seen something
        alerting.tell(Raised(replace(alert, severity="warning", todo=("archon health", alert.todo[-1]))))
    if not incident.is_open:
        outcome = f"{outcome_of(incident)}; {said}" if incident.roots else said
        alerting.tell(Cleared(subject(incident), outcome))
    return str(alerting.flush())


def _site_tools(settings: Settings, recovery: Recovery, cancel: threading.Event, site: str) -> SiteTools:
    there = site_settings(settings, site)
    runtime: Runtime = open_runtime(there)
    context = open_context(there, cancel=cancel)
    return SiteTools(
        context=context,
        book=recovery.book,
        hands=Hands(there, runtime, recovery.book.evidence, cancel, lambda: context),
        look=lambda: fresh(there, runtime),
        clock=recovery.clock,
        tell=recovery.tell,
    )
