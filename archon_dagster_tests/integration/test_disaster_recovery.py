"""Disaster recovery as a Dagster run: a whole site is gone, an empty machine takes its place, from S3."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import dagster as dg
import pytest

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.context import open_context
from archon_dagster.definitions import defs
from archon_dagster.sandbox import lifecycle
from archon_dagster.sandbox.s3.running import object_storage
from archon_dagster.sandbox.seed import seed

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]


def test_an_empty_machine_becomes_the_lost_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lost site's home is deleted: the settings, the other site's addresses and the bucket are all there is."""
    with object_storage() as storage:
        for name, value in storage.environment.items():
            monkeypatch.setenv(name, value)
        lost = lifecycle.up(tmp_path / "lost", owner_pid=os.getpid())
        seed(lost.settings, lost.runtime, limit=10, max_points=60)
        context = open_context(lost.settings)
        before = context.fingerprints()
        backup = take_backup(context, BackupRequest())
        assert backup.good
        lifecycle.down(lost.home)
        shutil.rmtree(lost.home)

        standby = lifecycle.up(tmp_path / "standby", owner_pid=os.getpid())
        try:
            file = tmp_path / "standby.env"
            file.write_text(
                standby.env_file.read_text()
                + f"ARCHON_HOME={standby.home}\nARCHON_PROJECT_DIR={standby.home / 'platform'}\n"
                + f"ARCHON_REPOSITORY={storage.environment['ARCHON_REPOSITORY']}\n"
            )
            standby.runtime.stop()  # an empty machine: nothing runs yet
            monkeypatch.setenv("ARCHON_HOME", str(tmp_path / "desk"))  # the operator's own
            monkeypatch.setenv("ARCHON_SITES", json.dumps({"standby": str(file)}))
            config = {"confirm": "RESTORE", "site": "standby", "selector": backup.manifest.id}
            job = defs.resolve_job_def("disaster_recovery")
            (op,) = (node.name for node in job.nodes)
            with dg.DagsterInstance.ephemeral() as instance:
                done = job.execute_in_process({"ops": {op: {"config": config}}}, instance=instance)
                assert done.success
                (incident,) = instance.get_dynamic_partitions("incidents")
            after = open_context(standby.settings).fingerprints()
            assert {name: one for name, one in after.items() if name != "configuration"} == {
                name: one for name, one in before.items() if name != "configuration"
            }
            report = (tmp_path / "desk" / "incidents" / incident / "report.md").read_text()
            assert "standby" in report and backup.manifest.id in report
            assert {one.state for one in standby.runtime.status()} == {"running"}
        finally:
            lifecycle.down(standby.home)
