"""What an interrupted restore has left is not restarted: a person decides, or the incident that began it goes on."""

from __future__ import annotations

import time

from archon_dagster.health.evaluation import ServiceState
from archon_dagster.health.samples import Facet
from archon_dagster.health.state import MonitorState
from archon_dagster.platform.runtime.elsewhere import ElsewhereRuntime
from archon_dagster.platform.settings import load_settings
from archon_dagster.recovery.decision import Escalate
from archon_dagster.recovery.incident import open_incident
from archon_dagster.recovery.ladder import next_step
from archon_dagster.recovery.looking import findings_of
from archon_dagster.recovery.policy import policy_of
from archon_dagster.restore.journal import JournalFile


def test_a_half_restored_store_is_proven_damage_and_left_to_the_restore_that_began_it() -> None:
    settings, now = load_settings(ARCHON_RECOVERY="restore"), time.time()
    file = JournalFile(settings)
    file.update(file.begin("B", "restore graph"), touched=("graph",), safety="S")
    failed = (Facet("consistent", False, "half restored", problem="half_restored"),)
    broken = ServiceState("unhealthy", since=now, first_seen=now, failed=failed, detail="half restored")
    findings = findings_of(MonitorState(at=now, services={"memgraph": broken}), settings, ElsewhereRuntime())
    assert [(proof.store, proof.kind) for proof in findings.proofs] == [("graph", "half_restored")]
    incident = open_incident("store_corrupt", ("memgraph",), ("memgraph",), findings.at)
    decision = next_step(incident, findings, policy_of(settings), findings.at, {})
    assert findings.interrupted and "archon restore B" in findings.interrupted
    assert isinstance(decision, Escalate) and decision.commands == (findings.interrupted,)
