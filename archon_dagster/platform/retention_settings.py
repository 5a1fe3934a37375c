"""Which backups are kept, in the words of restic's ``forget``, and whether the daily run may remove the others."""

from __future__ import annotations

from typing import Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings

from archon_dagster.platform import cron


class RetentionSettings(BaseSettings):
    """The part of :class:`~archon_dagster.platform.settings.Settings` that is about old backups."""

    # of every set of stores: the newest one of so many hours, days, … that have one; 0: that rule is off
    retention_last: int = Field(default=3, alias="ARCHON_RETENTION_KEEP_LAST", ge=0)
    retention_hourly: int = Field(default=48, alias="ARCHON_RETENTION_KEEP_HOURLY", ge=0)
    retention_daily: int = Field(default=30, alias="ARCHON_RETENTION_KEEP_DAILY", ge=0)
    retention_weekly: int = Field(default=8, alias="ARCHON_RETENTION_KEEP_WEEKLY", ge=0)
    retention_monthly: int = Field(default=12, alias="ARCHON_RETENTION_KEEP_MONTHLY", ge=0)
    retention_yearly: int = Field(default=3, alias="ARCHON_RETENTION_KEEP_YEARLY", ge=0)
    retention_within: float = Field(default=2.0, alias="ARCHON_RETENTION_KEEP_WITHIN_DAYS", ge=0)
    retention_minimum: int = Field(default=3, alias="ARCHON_RETENTION_MINIMUM", ge=1)  # good ones, whatever the rules
    retention_safety: float = Field(default=30.0, alias="ARCHON_RETENTION_SAFETY_DAYS", ge=1)  # before a restore

    retention_cron: str = Field(default="0 5 * * *", alias="ARCHON_RETENTION_CRON")  # in ARCHON_TIMEZONE
    retention_apply: bool = Field(default=False, alias="ARCHON_RETENTION_APPLY")  # the daily run; else it only tells
    retention_grace: float = Field(default=24.0, alias="ARCHON_RETENTION_GRACE_HOURS", ge=1)
    retention_limit: float = Field(default=300.0, alias="ARCHON_RETENTION_LIMIT", gt=0)  # seconds under the lock

    @field_validator("retention_cron")
    @classmethod
    def _retention_cron(cls, value: str) -> str:
        return cron.checked(value)

    @model_validator(mode="after")
    def _keeps_something(self) -> Self:
        counts = (self.retention_last, self.retention_hourly, self.retention_daily, self.retention_weekly,
                  self.retention_monthly, self.retention_yearly, self.retention_within)  # fmt: skip
        if not any(counts):
            raise ValueError("every ARCHON_RETENTION_KEEP_… is 0: say what is to be kept")
        return self
