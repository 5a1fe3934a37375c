"""How much the performance report may ask, and when a number is worse than the baseline's. Times are seconds."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings


class PerformanceSettings(BaseSettings):
    """The part of :class:`~archon_dagster.platform.settings.Settings` that is about performance."""

    performance_samples: int = Field(default=50, alias="ARCHON_PERFORMANCE_SAMPLES", ge=5, le=1000)  # of one question
    performance_seconds: float = Field(
        default=15.0, alias="ARCHON_PERFORMANCE_SECONDS", gt=0, le=600
    )  # of one question
    performance_tolerance: float = Field(default=0.5, alias="ARCHON_PERFORMANCE_TOLERANCE", gt=0, le=10)  # share worse
    performance_tune_limit: float = Field(default=600.0, alias="ARCHON_PERFORMANCE_TUNE_LIMIT", gt=0)  # for optimizers
    docker_daemon_file: Path = Field(default=Path("/etc/docker/daemon.json"), alias="ARCHON_DOCKER_DAEMON_FILE")
