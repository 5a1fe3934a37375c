"""Security updates on switches instead of containers: recorded, backed up, replaced one by one, and put back."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from archon_dagster.errors import ConfigurationError, DamagedBackup, ServiceError, StoreError
from archon_dagster.health import windows
from archon_dagster.maintenance import recorded
from archon_dagster.maintenance.updates import go_back, update
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.services import BY_NAME
from archon_dagster_tests.unit.maintenance.containers import SERVICES, containers, fetch, on_containers
from archon_dagster_tests.unit.platform_double import Platform, failing


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return on_containers(Platform(tmp_path))


def test_only_what_has_changed_is_replaced(platform: Platform) -> None:
    engine = containers(platform)
    result = update(platform.context, engine, fetch(web="new"))
    assert (result.changed, result.unchanged) == ({"web": ("old", "new")}, ("worker",))
    assert engine.made == {"web": "new", "worker": "old"}
    assert platform.repository.resolve("latest").id == result.before.backup


def test_a_new_balancer_comes_with_the_service_that_it_is_part_of(platform: Platform) -> None:
    engine = containers(platform)
    engine.balance("web")
    result = update(platform.context, engine, fetch(balancer="new"))
    assert (result.changed, set(result.unchanged)) == ({"balancer": ("old", "new")}, set(SERVICES))
    assert engine.made == {"web": "old", "worker": "old", "balancer": "new"}
    assert go_back(platform.context, engine) == ("web",)
    assert engine.made["balancer"] == "old"


def test_a_bad_balancer_is_taken_back_with_its_service(platform: Platform) -> None:
    engine = containers(platform)
    engine.balance("web")
    result = update(platform.context, engine, fetch(balancer="bad"))
    assert (result.returned, result.why) == (("web",), "web does not run")
    assert engine.made["balancer"] == "old"
    assert engine.states["web"] == "running"


def test_the_first_failure_puts_back_everything(platform: Platform) -> None:
    engine = containers(platform)
    result = update(platform.context, engine, fetch(web="new", worker="bad"))
    with pytest.raises(ServiceError, match=r"taken back: worker does not run"):
        result.raise_for_failure()
    assert engine.made == dict.fromkeys(SERVICES, "old")
    assert set(engine.names.values()) == {"old"}
    assert set(engine.states.values()) == {"running"}
    assert windows.ad_hoc(platform.settings.home, 0.0) == []


def test_a_registry_that_does_not_answer_replaces_nothing(platform: Platform) -> None:
    def away(_: Runtime) -> None:
        raise ServiceError("docker compose pull failed")

    result = update(platform.context, containers(platform), away)
    assert (result.why, result.returned) == ("docker compose pull failed", ())
    assert ("recreate", ("web",)) not in containers(platform).done


def test_without_a_good_backup_nothing_is_fetched(platform: Platform) -> None:
    platform.stores["vectors"].fault = failing("describe")
    with pytest.raises((StoreError, DamagedBackup)):
        update(platform.context, containers(platform), fetch(web="new"))
    assert set(containers(platform).names.values()) == {"old"}


def test_a_killed_update_can_be_gone_back_from(platform: Platform) -> None:
    engine = containers(platform)
    update(platform.context, engine, fetch(web="new"))  # as if it had been killed before it could go back
    assert go_back(platform.context, engine) == ("web",)
    assert engine.made == dict.fromkeys(SERVICES, "old")
    assert recorded.images(platform.settings.home) == {"old"}


def test_what_an_update_or_a_way_back_has_replaced_is_noted_and_what_is_gone_back_to_is_not(platform: Platform) -> None:
    engine, home = containers(platform), platform.settings.home
    update(platform.context, engine, fetch(web="second"))
    assert recorded.replaced(home) == ()  # "old" is what would be gone back to
    update(platform.context, engine, fetch(web="third", worker="other"))
    assert recorded.images(home) == {"second", "old"}
    update(platform.context, engine, fetch())
    assert (recorded.images(home), recorded.replaced(home)) == ({"third", "other"}, ("old", "second"))
    assert update(platform.context, engine, fetch(web="bad")).returned == ("web",)
    assert recorded.replaced(home) == ("bad", "old", "second")
    recorded.forget(home, {"old"})
    assert recorded.replaced(home) == ("bad", "second")
    update(
        platform.context, engine, fetch(web="second")
    )  # one that was replaced is back, and is gone back to next time
    update(platform.context, engine, fetch())
    assert (recorded.images(home), recorded.replaced(home)) == ({"second", "other"}, ("bad", "third"))


def test_local_processes_have_no_images(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no images here"):
        update(Platform(tmp_path).context)


def test_a_way_back_that_fails_too_names_both_and_the_backup(platform: Platform) -> None:
    engine = containers(platform)

    def broken(runtime: Runtime) -> None:
        fetch(web="bad")(runtime)
        engine.put_back = lambda reference, image: None  # type: ignore[method-assign]

    with pytest.raises(ServiceError, match=r"and so did the way back: web does not run[\s\S]*archon restore 2"):
        update(platform.context, engine, broken)


def test_one_that_cannot_be_put_back_keeps_no_other_from_it(platform: Platform) -> None:
    """All of them run on the new image when somebody wants the old ones back; the first one's does not start again."""
    engine, home = containers(platform), platform.settings.home
    update(platform.context, engine, fetch(web="new", worker="new"))
    put_back = engine.put_back
    engine.put_back = lambda ref, image: put_back(ref, "bad" if ref == "web:1" else image)  # type: ignore[method-assign]
    with pytest.raises(ServiceError, match=r"web does not run[\s\S]*--return --confirm UPDATE"):
        go_back(platform.context, engine)
    assert engine.made == {"web": "bad", "worker": "old"}
    assert engine.states["worker"] == "running"
    assert recorded.replaced(home) == ("new",)


def test_each_that_cannot_be_put_back_is_named_in_one_line(platform: Platform) -> None:
    engine = containers(platform)
    update(platform.context, engine, fetch(web="new", worker="new"))

    def gone(reference: str, image: str) -> None:
        raise ServiceError(f"{reference} could not be put back: no such image")

    engine.put_back = gone  # type: ignore[method-assign]
    with pytest.raises(ServiceError) as failed:
        go_back(platform.context, engine)
    assert failed.value.what == "; ".join(f"{name}:1 could not be put back: no such image" for name in SERVICES)


def test_the_automation_sees_no_failure_in_a_service_that_is_put_back(platform: Platform) -> None:
    engine, home = containers(platform), platform.settings.home
    update(platform.context, engine, fetch(web="new"))
    seen: list[str] = []
    recreate = engine.recreate

    def watched(*services: str) -> None:
        seen.extend(one.why for one in windows.ad_hoc(home, 0.0))
        recreate(*services)

    engine.recreate = watched  # type: ignore[method-assign]
    assert go_back(platform.context, engine) == ("web",)
    assert seen == ["return from security updates"]
    assert windows.ad_hoc(home, 0.0) == []


def test_a_slow_host_is_given_the_time_that_its_settings_say(tmp_path: Path) -> None:
    """Both ways: the new image's service, and that of the recorded one."""
    platform = on_containers(Platform(tmp_path), ["archon-agents"])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        changed = {"start_patience": 0.01, "agents_port": taken.getsockname()[1]}
        object.__setattr__(platform.context, "settings", platform.context.settings.model_copy(update=changed))
        with pytest.raises(ServiceError, match="and so did the way back: archon-agents is not ready") as failed:
            update(platform.context, containers(platform), fetch(**{"archon-agents": "new"}))
    waited = [float(seconds) for seconds in re.findall(r"is not ready after ([0-9.]+) s", str(failed.value))]
    assert len(waited) == 2 and max(waited) < BY_NAME["archon-agents"].start_budget / 3
