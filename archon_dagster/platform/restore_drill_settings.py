"""What of the restore drills can be set."""

from __future__ import annotations

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform import cron
from archon_dagster.platform.limits import size


class RestoreDrillSettings(BaseSettings):
    """The part of :class:`~archon_dagster.platform.settings.Settings` that is about restore drills."""

    drill_cron: str = Field(default="0 6 * * 6", alias="ARCHON_DRILL_CRON")  # in ARCHON_TIMEZONE; off until switched on
    drill_memory: str = Field(default="4g", alias="ARCHON_DRILL_MEMORY")  # of a container, where the platform says none

    @field_validator("drill_cron")
    @classmethod
    def _drill_cron(cls, value: str) -> str:
        return cron.checked(value)

    @field_validator("drill_memory")
    @classmethod
    def _drill_memory(cls, value: str) -> str:
        try:
            size(value)
        except ConfigurationError as error:
            raise ValueError(error.what) from error
        return value
