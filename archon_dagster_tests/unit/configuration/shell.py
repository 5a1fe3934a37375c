"""The chapter's jobs and its sensor in Dagster, on a small platform."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg

from archon_dagster.configuration.assets import CHANGES
from archon_dagster.configuration.defs import defs as configuration
from archon_dagster.configuration.sensors import configuration_changed_by_hand
from archon_dagster.platform.settings import Settings
from archon_dagster.resources import Operations
from archon_dagster_tests.unit.configuration.platform import EnvPlatform
from archon_dagster_tests.unit.configuration.sample import OLD


class Shell:
    """The chapter in Dagster, on a small platform."""

    def __init__(self, home: Path, instance: dg.DagsterInstance):
        self.platform = platform = EnvPlatform(home, OLD)
        self.instance, self.cursor = instance, ""

        class OfPlatform(Operations):
            def settings(self) -> Settings:
                return platform.settings

        self.operations = OfPlatform()
        # without the sensor: its job is the chapter Backup's
        self.defs = dg.Definitions(jobs=configuration.jobs, resources={"operations": self.operations})

    def run(self, job: str, op: str, **config: Any) -> dg.ExecuteInProcessResult:
        return self.job(job).execute_in_process(
            instance=self.instance, run_config={"ops": {op: {"config": config}}}, raise_on_error=False
        )

    def job(self, name: str) -> dg.JobDefinition:
        return self.defs.resolve_job_def(name)

    def look(self) -> dg.SensorResult | dg.SkipReason:
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources={"operations": self.operations}
        )
        came = configuration_changed_by_hand(context)
        assert isinstance(came, dg.SensorResult | dg.SkipReason)
        self.cursor = context.cursor or ""
        return came

    def changes(self) -> list[dict[str, Any]]:
        records = self.instance.fetch_materializations(CHANGES, limit=50).records
        found = [one.asset_materialization for one in records]
        return [{name: value.value for name, value in one.metadata.items()} for one in found if one]
