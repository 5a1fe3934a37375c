"""What of the automatic recovery can be set: how far it may go, how often it tries, what is kept. Times are seconds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

_SITE = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
PRIMARY = "primary"
"""The site that these settings themselves describe."""


class RecoverySettings(BaseSettings):
    """The part of :class:`~archon_dagster.platform.settings.Settings` that is about recovery."""

    # how far it goes: nothing at all; restart and recreate; or also restore a store that is proven to be lost
    recovery: Literal["off", "restart", "restore"] = Field(default="restart", alias="ARCHON_RECOVERY")
    recovery_attempts: int = Field(default=3, alias="ARCHON_RECOVERY_ATTEMPTS", ge=1, le=20)  # of one incident
    recovery_cool_down: float = Field(default=10.0, alias="ARCHON_RECOVERY_COOL_DOWN", ge=0)  # doubles each time
    recovery_longest_cool_down: float = Field(default=900.0, alias="ARCHON_RECOVERY_LONGEST_COOL_DOWN", ge=0)
    recovery_settle: float = Field(default=20.0, alias="ARCHON_RECOVERY_SETTLE", ge=0)  # to come back by itself
    recovery_relapse: float = Field(default=15.0, alias="ARCHON_RECOVERY_RELAPSE", ge=0)  # the same incident again
    recovery_hourly: int = Field(default=20, alias="ARCHON_RECOVERY_HOURLY", ge=1)  # actions on one service an hour
    recovery_patience: float = Field(default=30.0, alias="ARCHON_RECOVERY_PATIENCE", ge=0)  # waiting inside a run
    recovery_lock_limit: float = Field(default=600.0, alias="ARCHON_RECOVERY_LOCK_LIMIT", gt=0)  # others at work

    # where servers keep their files, as this process sees them; without it nothing can be copied or set aside
    qdrant_storage: Path | None = Field(default=None, alias="ARCHON_QDRANT_STORAGE")
    memgraph_data: Path | None = Field(default=None, alias="ARCHON_MEMGRAPH_DATA")

    # what is kept
    incidents_kept: int = Field(default=200, alias="ARCHON_INCIDENTS_KEPT", ge=1)
    incidents_days: float = Field(default=365.0, alias="ARCHON_INCIDENTS_DAYS", gt=0)

    # where else the platform may be brought up: JSON, name -> absolute path of a file with that site's settings
    sites: dict[str, Path] = Field(default_factory=dict, alias="ARCHON_SITES")

    @field_validator("sites")
    @classmethod
    def _sites(cls, value: dict[str, Path]) -> dict[str, Path]:
        for name, file in value.items():
            if name == PRIMARY or not _SITE.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a site: lower-case letters, digits, '-', and not {PRIMARY!r}")
            if not file.is_absolute():
                raise ValueError(f"the settings of site {name} are to be named by an absolute path, not {file}")
        return value
