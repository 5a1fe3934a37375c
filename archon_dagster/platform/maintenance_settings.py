"""What of the weekly maintenance can be set. Times are seconds unless the name says otherwise."""

from __future__ import annotations

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from archon_dagster.platform import cron


class MaintenanceSettings(BaseSettings):
    """The part of :class:`~archon_dagster.platform.settings.Settings` that is about maintenance."""

    maintenance_cron: str = Field(default="0 4 * * 0", alias="ARCHON_MAINTENANCE_CRON")  # in ARCHON_TIMEZONE
    maintenance_window: float = Field(default=10_800.0, alias="ARCHON_MAINTENANCE_WINDOW", gt=0, le=86_400)
    maintenance_step_limit: float = Field(default=1800.0, alias="ARCHON_MAINTENANCE_STEP_LIMIT", gt=0)  # of optimising
    maintenance_disk_warn: float = Field(default=0.8, alias="ARCHON_MAINTENANCE_DISK_WARN", gt=0, le=1)  # share used
    maintenance_disk_critical: float = Field(default=0.9, alias="ARCHON_MAINTENANCE_DISK_CRITICAL", gt=0, le=1)
    maintenance_disk_days: float = Field(default=14.0, alias="ARCHON_MAINTENANCE_DISK_DAYS", ge=0)  # until full: warn
    maintenance_log_bytes: int = Field(default=10 * 2**20, alias="ARCHON_MAINTENANCE_LOG_BYTES", ge=4096)  # of one log
    maintenance_logs_kept: int = Field(default=5, alias="ARCHON_MAINTENANCE_LOGS_KEPT", ge=1)  # archives of one log
    maintenance_runs_days: float = Field(default=30.0, alias="ARCHON_MAINTENANCE_RUNS_DAYS", ge=1)  # Dagster's runs

    @field_validator("maintenance_cron")
    @classmethod
    def _maintenance_cron(cls, value: str) -> str:
        return cron.checked(value)
