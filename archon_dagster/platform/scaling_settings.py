"""What of scaling can be set: how far a service may be scaled, and when the autoscaler does it. Times are seconds."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings


class ScalingSettings(BaseSettings):
    """The part of :class:`~archon_dagster.platform.settings.Settings` that is about scaling."""

    scaling_most: int = Field(default=8, alias="ARCHON_SEARCH_REPLICAS_MOST", ge=1, le=64)

    # the sensor search_autoscaler, which is off until somebody starts it
    autoscale_dry_run: bool = Field(default=True, alias="ARCHON_AUTOSCALE_DRY_RUN")  # tells what it would do
    autoscale_by: Literal["latency", "cpu"] = Field(default="latency", alias="ARCHON_AUTOSCALE_BY")
    autoscale_interval: int = Field(default=30, alias="ARCHON_AUTOSCALE_INTERVAL", ge=1)
    autoscale_least: int = Field(default=1, alias="ARCHON_AUTOSCALE_LEAST", ge=1)
    autoscale_most: int = Field(default=4, alias="ARCHON_AUTOSCALE_MOST", ge=1)
    autoscale_high: float = Field(default=800.0, alias="ARCHON_AUTOSCALE_HIGH", gt=0)  # ms of p95, or % of a core
    autoscale_low: float = Field(default=200.0, alias="ARCHON_AUTOSCALE_LOW", ge=0)
    autoscale_rising: int = Field(default=3, alias="ARCHON_AUTOSCALE_RISING", ge=1)  # readings in a row
    autoscale_falling: int = Field(default=10, alias="ARCHON_AUTOSCALE_FALLING", ge=1)
    autoscale_cool_down: float = Field(default=300.0, alias="ARCHON_AUTOSCALE_COOL_DOWN", ge=0)
