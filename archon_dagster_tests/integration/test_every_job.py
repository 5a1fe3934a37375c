"""Every job of the code location on a running platform, as the launchpad starts it: none is left out, none is only
tested by its logic. On compose somebody else's containers, network, image and volumes are beside it through all of
them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import dagster as dg
import pytest

from archon_dagster.definitions import defs
from archon_dagster.sandbox.lifecycle import Sandbox
from archon_dagster.sandbox.seed import seed
from archon_dagster_tests import bystanders
from archon_dagster_tests.platforms import RUNTIME, running_platform

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

# op and configuration of each, in an order in which an operator could launch them
LAUNCHED: dict[str, tuple[str, dict[str, Any]]] = {
    "startup": ("start_services", {}),
    "health": ("", {}),
    "observe_live_data": ("observe", {}),
    "backup": ("", {}),
    "restore_drill": ("drill", {}),
    "remove_drill_leftovers": ("remove_leftovers", {}),
    "validate_configuration": ("look_at_file", {"path": "next.env"}),
    "update_configuration": ("apply_file", {"path": "next.env", "confirm": "APPLY"}),
    "undo_configuration": ("go_back", {"confirm": "APPLY"}),
    "scale_search": ("scale_replicas", {"replicas": 2}),
    "apply_resource_profile": (
        "apply_profile", {"profile": "custom", "custom": {"archon-search": {"cpus": "1", "memory": "2G"}}},
    ),
    "performance_report": ("measure_performance", {"renew_baseline": True}),
    "apply_performance_tuning": ("tune", {}),
    "weekly_maintenance": ("maintain", {}),
    "security_updates": ("update_images", {}),
    "retention": ("prune", {}),
    "trim_event_log": ("trim", {}),
    "restart_failed_services": ("restart_failed_services_steps", {}),
    "recover_store": ("recover_store_steps", {}),
    "full_recovery": ("full_recovery_steps", {}),
    "p0_response": ("respond_to_p0", {"description": "every job is launched"}),
    "disaster_recovery": ("recover_a_site", {"confirm": "RESTORE"}),
    "restore": ("put_back", {"confirm": "RESTORE"}),
    "cold_start": ("start_from_nothing", {"confirm": "COLD-START"}),
}  # fmt: skip
# those whose command ends with what came of it, see `archon_dagster.cli.submit`
TOLD = {"startup", "cold_start", "validate_configuration", "update_configuration", "undo_configuration", "scale_search",
        "apply_resource_profile", "apply_performance_tuning", "weekly_maintenance", "security_updates",
        "retention"}  # fmt: skip
# what a platform of this kind cannot do is refused with the reason
REFUSED = {
    "processes": {"security_updates": "no images"},
    # these containers share the host's network, and their servers listen on its loopback only
    "compose": {"scale_search": "does not read SEARCH_REPLICAS", "restore_drill": "it runs no more"},
}[RUNTIME]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A whole platform, and on compose a neighbour that is compared at the end."""
    home = tmp_path_factory.mktemp("every-job")
    with running_platform(home) as sandbox:
        seed(sandbox.settings, sandbox.runtime, limit=6, max_points=30)
        lines = [line for line in sandbox.env_file.read_text().splitlines() if not line.startswith("LOG_LEVEL=")]
        (sandbox.settings.project_dir / "next.env").write_text("\n".join([*lines, "LOG_LEVEL=DEBUG", ""]))
        directory, name = tmp_path_factory.mktemp("neighbour") / "project", sandbox.settings.compose_project
        with bystanders.untouched(directory, name) if RUNTIME == "compose" else nullcontext():
            yield sandbox


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


def test_every_job_is_here() -> None:
    jobs = {job.name for job in defs.get_repository_def().get_all_jobs()}
    assert {name for name in jobs if not name.startswith("__")} == set(LAUNCHED)


@pytest.mark.parametrize("job", LAUNCHED)
def test_it_runs_and_the_platform_is_well_afterwards(
    platform: Sandbox, instance: dg.DagsterInstance, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in platform.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ARCHON_HOME", str(platform.home))
    monkeypatch.setenv("ARCHON_PERFORMANCE_SAMPLES", "5")
    op, config = LAUNCHED[job]
    done = defs.resolve_job_def(job).execute_in_process(
        {"ops": {op: {"config": config}}} if config else {}, instance=instance, raise_on_error=False
    )
    said = "\n".join(
        str(event.step_failure_data.error) if event.is_step_failure and event.step_failure_data else str(event.message)
        for event in done.all_events if event.is_failure
    )  # fmt: skip
    if job in REFUSED:
        assert not done.success
        assert REFUSED[job] in said
    else:
        assert done.success, said
        run = instance.get_run_by_id(done.run_id)
        assert run is not None
        assert (job in TOLD) == bool(run.tags.get("archon/result")), run.tags
    assert {one.state for one in platform.runtime.status()} == {"running"}
