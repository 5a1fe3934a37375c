"""What of the health monitor can be set: thresholds, hysteresis, windows, intervals. All times are seconds."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_settings import BaseSettings

from archon_dagster.platform import cron
from archon_dagster.platform.services import BY_NAME


class ServicePolicy(BaseModel):
    """What is different for one service; what is not named is as for all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    failures: int | None = Field(default=None, ge=1)
    successes: int | None = Field(default=None, ge=1)
    slow_after: float | None = Field(default=None, gt=0)  # seconds


class Window(BaseModel):
    """A maintenance window that comes again and again.

    :param cron: when it begins, five fields, in the time zone of the settings.
    :param minutes: how long it lasts.
    :param services: whom it concerns; empty: everybody.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cron: str
    minutes: Annotated[float, Field(gt=0, le=7 * 24 * 60)]
    services: tuple[str, ...] = ()
    why: str = "planned maintenance"

    @field_validator("cron")
    @classmethod
    def _cron(cls, value: str) -> str:
        return cron.checked(value)

    @field_validator("services")
    @classmethod
    def _services(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return known_services(value)


def known_services(names: tuple[str, ...]) -> tuple[str, ...]:
    """The same names; a :class:`ValueError` where one is not in the catalogue."""
    wrong = [name for name in names if name not in BY_NAME]
    if wrong:
        raise ValueError(f"no such service: {', '.join(wrong)}; there are {', '.join(BY_NAME)}")
    return names


class HealthSettings(BaseSettings):
    """The part of :class:`~archon_dagster.platform.settings.Settings` that is about health."""

    # who is watched, and how often
    health_watched: tuple[str, ...] = Field(default=(), alias="ARCHON_HEALTH_WATCHED")  # JSON; empty: the runtime's
    # JSON: who depends on whom besides the catalogue's, e.g. {"supabase": ["postgres"]} where that is its database
    health_depends: dict[str, tuple[str, ...]] = Field(default_factory=dict, alias="ARCHON_HEALTH_DEPENDS")
    health_interval: int = Field(default=30, alias="ARCHON_HEALTH_INTERVAL", ge=1)  # between two rounds
    health_heartbeat: float = Field(default=600.0, alias="ARCHON_HEALTH_HEARTBEAT", gt=0)  # events without a change
    health_round_limit: float = Field(default=2.5, alias="ARCHON_HEALTH_ROUND_LIMIT", gt=0, lt=3)  # of a whole round
    health_end_to_end: float = Field(default=600.0, alias="ARCHON_HEALTH_END_TO_END", ge=0)  # 0: never
    health_counts: float = Field(default=60.0, alias="ARCHON_HEALTH_COUNTS", ge=0)  # against the last backup; 0: never
    health_model: float = Field(default=600.0, alias="ARCHON_HEALTH_MODEL", ge=0)  # ask it for a vector; 0: never

    # when a state is believed
    health_failures: int = Field(default=3, alias="ARCHON_HEALTH_FAILURES", ge=1)  # bad samples in a row
    health_successes: int = Field(default=2, alias="ARCHON_HEALTH_SUCCESSES", ge=1)  # good ones
    health_reprobe: float = Field(default=1.0, alias="ARCHON_HEALTH_REPROBE", gt=0, le=10)  # after a first failure
    health_confirm_limit: float = Field(default=15.0, alias="ARCHON_HEALTH_CONFIRM_LIMIT", gt=0, le=25)  # of a tick
    health_flap_changes: int = Field(default=6, alias="ARCHON_HEALTH_FLAP_CHANGES", ge=2)
    health_flap_window: float = Field(default=900.0, alias="ARCHON_HEALTH_FLAP_WINDOW", gt=0)
    health_collapsed: float = Field(default=0.5, alias="ARCHON_HEALTH_COLLAPSED", ge=0, le=1)  # of the backup's records
    health_policies: dict[str, ServicePolicy] = Field(default_factory=dict, alias="ARCHON_HEALTH_POLICIES")  # JSON
    health_windows: tuple[Window, ...] = Field(default=(), alias="ARCHON_HEALTH_WINDOWS")  # JSON

    # what is kept
    health_history_samples: int = Field(default=20_160, alias="ARCHON_HEALTH_HISTORY_SAMPLES", ge=1)  # per service
    health_history_days: float = Field(default=7.0, alias="ARCHON_HEALTH_HISTORY_DAYS", gt=0)

    @field_validator("health_watched")
    @classmethod
    def _watched(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return known_services(value)

    @field_validator("health_depends", mode="before")
    @classmethod
    def _as_json(cls, value: Any) -> Any:
        """A ``.env`` that is handed over as a mapping holds the text."""
        return json.loads(value) if isinstance(value, str) else value

    @field_validator("health_depends")
    @classmethod
    def _depends(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        known_services((*value, *(name for names in value.values() for name in names)))
        return value

    @field_validator("health_policies")
    @classmethod
    def _policies(cls, value: dict[str, Any]) -> dict[str, Any]:
        known_services(tuple(value))
        return value
