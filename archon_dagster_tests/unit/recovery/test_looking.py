"""What recovery makes of the monitor's words where it knows more than the monitor does."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from archon_dagster.health import monitor
from archon_dagster.health.evaluation import Policy, ServiceState, advance
from archon_dagster.health.knowledge import Counts, Expected, Knowledge
from archon_dagster.health.state import MonitorState
from archon_dagster.health.windows import open_window
from archon_dagster.platform.runtime.elsewhere import ElsewhereRuntime
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.recovery.classify import classify
from archon_dagster.recovery.findings import Findings
from archon_dagster.recovery.looking import confirmed, findings_of
from archon_dagster_tests.unit.health.samples import sample
from archon_dagster_tests.unit.health.test_sampling import busy_qdrant
from archon_dagster_tests.unit.test_probes import http_server

GONE = 'psql: error: FATAL:  database "archon" does not exist'


def settings(home: Path) -> Settings:
    return load_settings(
        ARCHON_HOME=home, ARCHON_HEALTH_DEPENDS={"supabase": ["postgres"]}, POSTGRES_PORT=1, POSTGRES_PASSWORD="none"
    )


def seen(home: Path, *, detail: str, **causes: tuple[str, ...]) -> Findings:
    """Supabase answers with errors, PostgreSQL accepts sessions, and this is what counting its records gave."""
    now = time.time()
    state = MonitorState(
        at=now,
        services={
            "postgres": ServiceState("healthy", since=now - 60),
            "supabase": ServiceState("unhealthy", now, now - 3, detail="HTTP 503", reached=True),
        },
        causes=causes,
        known=Knowledge(
            live={"relational": Counts(None, detail)}, expected={"relational": Expected("20261124T020000Z-0001", {})}
        ),
    )
    return findings_of(state, settings(home), ElsewhereRuntime())


def test_who_needs_a_database_that_is_gone_suffers_from_it_though_its_server_is_well(tmp_path: Path) -> None:
    findings = seen(tmp_path, detail=GONE)
    (case,) = classify(findings)
    assert (case.kind, case.roots, case.services) == ("store_lost", ("postgres",), ("postgres", "supabase"))
    assert findings.unwell["supabase"].causes == ("postgres",)


def test_nothing_is_proven_of_a_store_that_is_in_a_window(tmp_path: Path) -> None:
    """Somebody works on it, and may have dropped it on purpose: nothing is restored over their hands."""
    open_window(tmp_path, 600, "migration", time.time(), ("postgres",), who="ann")
    findings = seen(tmp_path, detail=GONE)
    assert findings.proofs == () and "postgres" not in findings.unwell
    assert "migration" in findings.unsure["postgres"]


def test_a_database_that_merely_could_not_be_counted_is_not_gone(tmp_path: Path) -> None:
    findings = seen(tmp_path, detail="it does not answer")
    assert findings.uncounted == {"relational": "it does not answer"}
    (case,) = classify(findings)
    assert (case.kind, case.roots) == ("external", ("supabase",))


def test_what_one_good_sample_says_is_well_is_mending_until_the_next_bad_one(tmp_path: Path) -> None:
    state, known = ServiceState(), []
    for kind in ("dead", "dead", "dead", "good", "dead", "good", "good"):
        state, _ = advance(state, sample(kind), time.time(), Policy(failures=3, successes=2))
        found = findings_of(
            MonitorState(time.time(), services={"qdrant": state}), settings(tmp_path), ElsewhereRuntime()
        )
        known += [one.mending for one in found.unwell.values()]
    assert known == [False, True, False, True]  # confirmed bad; good; bad; good; and well again


def test_who_hangs_above_somebody_who_works_in_part_is_a_case_of_its_own(tmp_path: Path) -> None:
    """A degraded service may stay so for weeks; whoever needs it has to be mended all the same."""
    with (
        http_server({"/health": (200, '{"status": "degraded", "error": "one of its labels is empty"}')}) as bridge,
        socket.create_server(("127.0.0.1", 0)) as hung,
    ):
        here = load_settings(
            ARCHON_HOME=tmp_path, ARCHON_HEALTH_WATCHED=["archon-bridge", "archon-search"], BRIDGE_SERVICE_PORT=bridge,
            SEARCH_SERVICE_PORT=hung.getsockname()[1], ARCHON_HEALTH_ROUND_LIMIT=0.6, ARCHON_HEALTH_REPROBE=0.1,
        )  # fmt: skip
        found = monitor.tick(here, ElsewhereRuntime())
    states = {name: one.state for name, one in found.state.services.items()}
    assert states == {"archon-bridge": "degraded", "archon-search": "unhealthy"}
    (case,) = classify(findings_of(found.state, here, ElsewhereRuntime()))
    assert (case.kind, case.roots) == ("single_service", ("archon-search",))


def test_a_collection_that_the_last_round_did_not_look_into_is_not_known_to_be_there(tmp_path: Path) -> None:
    """Else an incident about garbage in it would end by rounds that saw nothing of it."""
    with busy_qdrant(
        "/collections/archon_vectors", ARCHON_HOME=tmp_path, ARCHON_HEALTH_WATCHED=["qdrant"]
    ) as here:  # fmt: skip
        monitor.keep(here, monitor.tick(here, ElsewhereRuntime()))
    findings = confirmed(here, ElsewhereRuntime())
    assert findings is not None and findings.well == {"qdrant"}
    assert "not examined: archon_vectors" in findings.uncounted["vectors"]
