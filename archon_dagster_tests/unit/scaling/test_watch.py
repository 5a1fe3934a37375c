"""The autoscaler's looks on a runtime of switches: what is remembered, what holds it, what the sensor asks for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform import automation
from archon_dagster.platform.runtime.protocol import ServiceStats
from archon_dagster.platform.settings import Settings, load_settings
from archon_dagster.resources import Operations
from archon_dagster.scaling import sensors, watch
from archon_dagster.scaling.load import latency, processor
from archon_dagster.scaling.scale import SERVICE
from archon_dagster_tests.unit.scaling.replicas_double import Scalable

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)


class Busy(Scalable):
    """Uses so much of a core, in all."""

    def __init__(self, percent: float):
        super().__init__()
        self.percent = percent

    def stats(self) -> list[ServiceStats]:
        return [ServiceStats("qdrant", 400.0, 0), ServiceStats(SERVICE, self.percent, 0)]


def settings_of(home: Path, **more: object) -> Settings:
    values = {
        "ARCHON_AUTOSCALE_BY": "cpu", "ARCHON_AUTOSCALE_HIGH": 80, "ARCHON_AUTOSCALE_LOW": 20,
        "ARCHON_AUTOSCALE_RISING": 2, "ARCHON_AUTOSCALE_FALLING": 2, "ARCHON_AUTOSCALE_COOL_DOWN": 60,
    }  # fmt: skip
    return load_settings(ARCHON_HOME=home, ARCHON_RUNTIME="processes", **values | more)


def looks(settings: Settings, runtime: Busy, count: int, begin: float = 0.0) -> list[watch.Look]:
    """So many looks, ten seconds apart, each decision carried out."""
    made = []
    for number in range(count):
        made.append(watch.look(settings, runtime, NOW + timedelta(seconds=begin + 10 * number)))
        runtime.counts[SERVICE] = made[-1].replicas
    return made


def test_the_load_of_each_replica_counts_and_is_remembered_from_look_to_look(tmp_path: Path) -> None:
    runtime = Busy(90.0)
    made = looks(settings_of(tmp_path), runtime, 4)
    assert [one.action for one in made] == ["hold", "up", "hold", "hold"]  # 45 % each: neither high nor low
    assert [one.load for one in made] == [90.0, 90.0, 45.0, 45.0]
    runtime.percent = 10.0
    assert [one.action for one in looks(settings_of(tmp_path), runtime, 2, begin=100)] == ["hold", "down"]
    assert watch.last(tmp_path).action == "down"  # type: ignore[union-attr]


def test_while_something_is_in_the_way_nothing_is_counted_and_the_cool_down_is_not_forgotten(tmp_path: Path) -> None:
    settings, runtime = settings_of(tmp_path), Busy(90.0)
    looks(settings, runtime, 2)
    runtime.percent = 400.0
    automation.pause(tmp_path, timedelta(seconds=25), "a test", NOW + timedelta(seconds=20), "ann")
    held = looks(settings, runtime, 2, begin=20)
    assert {one.action for one in held} == {"hold"}
    assert {one.load for one in held} == {None}
    assert "paused" in held[0].why
    after = looks(settings, runtime, 3, begin=50)
    assert [one.action for one in after] == ["hold", "hold", "up"]  # two looks above, and the cool-down of a minute
    assert "cool-down" in after[1].why


def test_what_cannot_be_scaled_is_not(tmp_path: Path) -> None:
    runtime = Busy(400.0)
    runtime.fixed = "the compose file publishes a port of it"
    assert [one.action for one in looks(settings_of(tmp_path), runtime, 3)] == ["hold"] * 3


def test_everybodys_bound_is_the_autoscalers_too(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, ARCHON_AUTOSCALE_MOST=50, ARCHON_SEARCH_REPLICAS_MOST=3)
    assert watch.policy_of(settings).maximum == 3
    with pytest.raises(ConfigurationError, match="makes no sense"):
        watch.policy_of(settings_of(tmp_path, ARCHON_AUTOSCALE_LOW=80))


def test_nothing_is_known_of_what_does_not_answer(tmp_path: Path) -> None:
    assert latency(settings_of(tmp_path, SEARCH_SERVICE_PORT=1)) is None
    assert processor(Scalable(), 1) is None


def ticked(settings: Settings, runtime: Scalable, monkeypatch: pytest.MonkeyPatch) -> dg.RunRequest | dg.SkipReason:
    class Here(Operations):
        def settings(self) -> Settings:
            return settings

    monkeypatch.setattr(sensors, "open_runtime", lambda _: runtime)
    with dg.DagsterInstance.ephemeral() as instance:
        told = sensors.search_autoscaler(dg.build_sensor_context(instance=instance), operations=Here())
    assert isinstance(told, dg.RunRequest | dg.SkipReason)
    return told


def test_the_sensor_is_off_only_tells_at_first_and_then_asks_for_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sensors.search_autoscaler.default_status == dg.DefaultSensorStatus.STOPPED
    least = {"ARCHON_AUTOSCALE_LEAST": 2}
    told = ticked(settings_of(tmp_path, **least), Busy(50.0), monkeypatch)
    assert isinstance(told, dg.SkipReason)
    assert "would be scaled up from 1 to 2" in str(told.skip_message)
    told = ticked(settings_of(tmp_path, **least, ARCHON_AUTOSCALE_DRY_RUN=False), Busy(50.0), monkeypatch)
    assert isinstance(told, dg.RunRequest)
    assert told.run_config == {"ops": {"scale_replicas": {"config": {"replicas": 2}}}}
    assert told.run_key is not None


def test_a_policy_that_makes_no_sense_is_told_and_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(tmp_path, ARCHON_AUTOSCALE_LOW=90, ARCHON_AUTOSCALE_DRY_RUN=False)
    told = ticked(settings, Busy(500.0), monkeypatch)
    assert isinstance(told, dg.SkipReason)
    assert "makes no sense" in str(told.skip_message)
