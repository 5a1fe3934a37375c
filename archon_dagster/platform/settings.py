"""Settings of the control plane and of the platform it operates.

Sources, first wins: the environment, then the control plane's ``<home>/.env``, then the platform's own
``<project directory>/.env``. Names are the runbook's. Addresses of external services have no default on purpose.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError
from pydantic_settings.sources import DotEnvSettingsSource

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.health_settings import HealthSettings
from archon_dagster.platform.maintenance_settings import MaintenanceSettings
from archon_dagster.platform.performance_settings import PerformanceSettings
from archon_dagster.platform.recovery_settings import RecoverySettings
from archon_dagster.platform.restore_drill_settings import RestoreDrillSettings
from archon_dagster.platform.retention_settings import RetentionSettings
from archon_dagster.platform.scaling_settings import ScalingSettings

_UNDO = " (back to the platform's .env before: archon config undo --direct --confirm APPLY)"


def default_home() -> Path:
    """Where state lives unless ``ARCHON_HOME`` says otherwise: ``.archon`` in a checkout, else the XDG data folder.

    It never depends on the current directory, so cron, a shell and the Dagster daemon see the same state.
    """
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file():
        return checkout / ".archon"
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data) / "archon"


class Settings(
    HealthSettings,
    RecoverySettings,
    MaintenanceSettings,
    RetentionSettings,
    RestoreDrillSettings,
    PerformanceSettings,
    ScalingSettings,
):
    """Everything that can be set. Secrets are :class:`~pydantic.SecretStr`: they never show in a repr or a log."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    # where things are
    home: Path = Field(default_factory=default_home, alias="ARCHON_HOME")
    project_dir_setting: Path | None = Field(default=None, alias="ARCHON_PROJECT_DIR")
    repository_setting: str | None = Field(default=None, alias="ARCHON_REPOSITORY")
    runtime: Literal["compose", "processes", "elsewhere"] = Field(default="compose", alias="ARCHON_RUNTIME")
    compose_project: str = Field(default="archon", alias="COMPOSE_PROJECT_NAME")
    environment: Literal["production", "staging", "development"] = Field(
        default="production", alias="ARCHON_ENVIRONMENT"
    )
    timezone: str = Field(default="UTC", alias="ARCHON_TIMEZONE")

    # stores
    qdrant_url: str = Field(default="http://127.0.0.1:6333", alias="QDRANT_URL")
    qdrant_api_key: SecretStr | None = Field(default=None, alias="QDRANT_API_KEY")
    memgraph_uri: str = Field(default="bolt://127.0.0.1:7687", alias="MEMGRAPH_URI")
    memgraph_user: str = Field(default="", alias="MEMGRAPH_USER")
    memgraph_password: SecretStr = Field(default=SecretStr(""), alias="MEMGRAPH_PASSWORD")
    memgraph_database: str | None = Field(default=None, alias="MEMGRAPH_DATABASE")
    postgres_host: str = Field(default="127.0.0.1", alias="POSTGRES_HOST")
    postgres_port: int = Field(default=5432, alias="POSTGRES_PORT", ge=1, le=65535)
    postgres_user: str = Field(default="postgres", alias="POSTGRES_USER")
    postgres_password: SecretStr | None = Field(default=None, alias="POSTGRES_PASSWORD")
    postgres_db: str = Field(default="postgres", alias="POSTGRES_DB")
    postgres_dsn: SecretStr | None = Field(default=None, alias="POSTGRES_DSN")

    # services of the platform: the host their ports are published on, or {service} inside their own network
    service_host: str = Field(default="127.0.0.1", alias="ARCHON_SERVICE_HOST")
    bridge_port: int = Field(default=8054, alias="BRIDGE_SERVICE_PORT", ge=1, le=65535)
    intelligence_port: int = Field(default=8053, alias="INTELLIGENCE_SERVICE_PORT", ge=1, le=65535)
    search_port: int = Field(default=8055, alias="SEARCH_SERVICE_PORT", ge=1, le=65535)
    mcp_port: int = Field(default=8051, alias="MCP_SERVER_PORT", ge=1, le=65535)
    agents_port: int = Field(default=8052, alias="AGENTS_SERVICE_PORT", ge=1, le=65535)
    frontend_port: int = Field(default=3737, alias="FRONTEND_PORT", ge=1, le=65535)
    ollama_url: str | None = Field(default=None, alias="OLLAMA_BASE_URL")
    supabase_url: str | None = Field(default=None, alias="SUPABASE_URL")
    supabase_key: SecretStr | None = Field(default=None, alias="SUPABASE_SERVICE_KEY")
    embedding_model: str | None = Field(default=None, alias="EMBEDDING_MODEL")
    embedding_dimensions: int = Field(
        default=1536, validation_alias=AliasChoices("EMBEDDING_DIMENSIONS", "EMBEDDING_DIMENSION"), ge=1, le=65536
    )

    # policy
    quiesce: Literal["pause", "none"] = Field(default="pause", alias="ARCHON_BACKUP_QUIESCE")
    store_deadline: float = Field(default=600.0, alias="ARCHON_STORE_DEADLINE", gt=0)  # seconds of any single wait
    store_silence: float = Field(default=30.0, alias="ARCHON_STORE_SILENCE", gt=0)  # then: is it frozen?
    pause_limit: float = Field(default=60.0, alias="ARCHON_BACKUP_PAUSE_LIMIT", gt=0)  # seconds
    live_fingerprint_limit: int = Field(
        default=200_000, alias="ARCHON_LIVE_FINGERPRINT_LIMIT", ge=0
    )  # points read whole; beyond it a sample
    start_patience: float = Field(default=1.0, alias="ARCHON_START_PATIENCE", gt=0)  # times every start budget
    webserver_url: str | None = Field(default=None, alias="ARCHON_WEBSERVER_URL")

    # alerts
    alert_urls: SecretStr = Field(default=SecretStr(""), alias="ARCHON_ALERT_URLS")  # see alerts/channels.py
    alert_reminder: float = Field(default=14_400.0, alias="ARCHON_ALERT_REMINDER", ge=0)  # seconds; 0: no reminders
    alert_backup_results: bool = Field(default=False, alias="ARCHON_ALERT_BACKUP_RESULTS")  # tell of good ones too
    heartbeat_url: SecretStr | None = Field(default=None, alias="ARCHON_HEARTBEAT_URL")
    heartbeat_interval: float = Field(default=60.0, alias="ARCHON_HEARTBEAT_INTERVAL", ge=1)  # seconds

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError) as error:
            raise ValueError(f"{value!r} is not a time zone, use a name such as Europe/Paris") from error
        return value

    @property
    def project_dir(self) -> Path:
        """The platform's own directory: ``.env``, compose files, ``config/``."""
        return self.project_dir_setting or self.home / "platform"

    @property
    def repository(self) -> str:
        """Where backups go: a directory, or ``s3://bucket/prefix`` (with the settings of the S3 backend)."""
        return self.repository_setting or str(self.home / "repository")

    @cached_property
    def dagster_home(self) -> Path:
        """Dagster's instance directory; ``DAGSTER_HOME`` wins where it is set."""
        return Path(os.environ.get("DAGSTER_HOME") or self.home / "dagster")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        home = Path(os.environ.get("ARCHON_HOME") or default_home())
        own = DotEnvSettingsSource(settings_cls, env_file=home / ".env")
        project = _project_of(home, own, os.environ.get("ARCHON_PROJECT_DIR"))
        return init_settings, env_settings, own, cls.of_platform(settings_cls, project / ".env")

    @classmethod
    def of_platform(cls, settings_cls: type[BaseSettings], file: Path) -> DotEnvSettingsSource:
        """What the platform's own file says; :mod:`~archon_dagster.platform.usable_settings` leaves some of it out."""
        return DotEnvSettingsSource(settings_cls, env_file=file)


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; raises :class:`ConfigurationError` that names every wrong one without showing secrets."""
    try:
        return checked(Settings, overrides)
    except UnicodeDecodeError as error:
        raise _no_text(error) from error


def settings_of(home: Path, *files: Path, **overrides: Any) -> Settings:
    """The settings of another platform: what files say, whatever the environment of this process says.

    :param files: read instead of the ``.env`` files of ``home`` and its project directory; the first one wins.
    """

    class FromFiles(Settings):
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, *(DotEnvSettingsSource(settings_cls, env_file=file) for file in read)

    try:
        read = files or _own_files(home)
        return checked(FromFiles, {"ARCHON_HOME": home, **overrides})
    except UnicodeDecodeError as error:
        raise _no_text(error, ", ".join(map(str, files)) or str(home)) from error


def _own_files(home: Path) -> tuple[Path, ...]:
    return home / ".env", _project_of(home, DotEnvSettingsSource(Settings, env_file=home / ".env")) / ".env"


def _project_of(home: Path, own: PydanticBaseSettingsSource, named: str | None = None) -> Path:
    return Path(named or own().get("ARCHON_PROJECT_DIR") or home / "platform")


def checked(kind: type[Settings], values: Mapping[str, Any]) -> Settings:
    """Settings of a kind; raises :class:`ConfigurationError` where they are not usable."""
    try:
        return kind(**values)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise ConfigurationError(
            f"the settings are not usable: {wrong}",
            todo=f"correct them in the environment or in the .env file{_UNDO}; nothing was touched",
        ) from None
    except SettingsError as error:  # a list or a table that is not JSON
        raise ConfigurationError(
            f"the settings are not usable: {error}",
            todo=f"it is written as JSON, for example ARCHON_HEALTH_WATCHED='[\"qdrant\"]'{_UNDO}; nothing was touched",
        ) from error


def _no_text(error: UnicodeDecodeError, where: str | None = None) -> ConfigurationError:
    return ConfigurationError(
        f"the settings are not UTF-8 text: {error.reason} at byte {error.start}",
        where=where,
        todo=f"write the file as text{_UNDO}",
    )
