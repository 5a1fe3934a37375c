"""How the S3 server is reached: from the environment and the same ``.env`` files as all other settings.

Without a key, a profile or a role, boto3's own search finds credentials (``AWS_*``, ``~/.aws``, the machine's role).
"""

from __future__ import annotations

from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.settings import Settings

Checksums = Literal["when_required", "when_supported"]


class S3Settings(BaseSettings):
    """Everything about S3 that can be set; the bucket is in ``ARCHON_REPOSITORY``. Times are in seconds."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    endpoint: str | None = Field(default=None, alias="ARCHON_S3_ENDPOINT")
    region: str | None = Field(default=None, alias="ARCHON_S3_REGION")
    ca_bundle: str | None = Field(default=None, alias="ARCHON_S3_CA_BUNDLE")
    addressing: Literal["auto", "path", "virtual"] | None = Field(default=None, alias="ARCHON_S3_ADDRESSING")
    checksums: Checksums | None = Field(default=None, alias="ARCHON_S3_CHECKSUMS")

    profile: str | None = Field(default=None, alias="ARCHON_S3_PROFILE")
    role_arn: str | None = Field(default=None, alias="ARCHON_S3_ROLE_ARN")
    key: str | None = Field(default=None, alias="ARCHON_S3_KEY", repr=False)
    secret: SecretStr | None = Field(default=None, alias="ARCHON_S3_SECRET")
    session_token: SecretStr | None = Field(default=None, alias="ARCHON_S3_SESSION_TOKEN")

    connect_timeout: float = Field(default=10.0, alias="ARCHON_S3_CONNECT_TIMEOUT", gt=0, le=600)
    read_timeout: float = Field(default=30.0, alias="ARCHON_S3_READ_TIMEOUT", gt=0, le=600)
    attempts: int = Field(default=5, alias="ARCHON_S3_ATTEMPTS", ge=1, le=20)
    retries: Literal["standard", "adaptive"] = Field(default="standard", alias="ARCHON_S3_RETRIES")
    connections: int = Field(default=32, alias="ARCHON_S3_CONNECTIONS", ge=1, le=256)

    @field_validator("endpoint")
    @classmethod
    def _whole_endpoint(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise ValueError("use http://host:port or https://host, without a user in it")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _whole_credentials(self) -> Self:
        if (self.key is None) != (self.secret is None):
            raise ValueError("ARCHON_S3_KEY and ARCHON_S3_SECRET belong together; one of them is missing")
        if self.key is not None and self.profile is not None:
            raise ValueError("ARCHON_S3_KEY and ARCHON_S3_PROFILE exclude each other")
        return self

    @property
    def checksum_mode(self) -> Checksums:
        """Many other servers reject the checksum trailers that AWS itself understands."""
        return self.checksums or ("when_supported" if self.endpoint is None else "when_required")

    @property
    def addressing_style(self) -> str:
        """Other servers rarely have a name in the DNS for each bucket."""
        return self.addressing or ("auto" if self.endpoint is None else "path")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return Settings.settings_customise_sources(
            settings_cls, init_settings, env_settings, dotenv_settings, file_secret_settings
        )


def load_s3_settings(**overrides: Any) -> S3Settings:
    """Read the settings; raises :class:`ConfigurationError` that names every wrong one without showing secrets."""
    try:
        return S3Settings(**overrides)
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"the settings for S3 are not UTF-8 text: {error.reason} at byte {error.start}",
            todo="write the file as text",
        ) from error
    except ValidationError as error:
        details = error.errors(include_input=False, include_url=False)
        wrong = "; ".join(": ".join([*map(str, one["loc"]), one["msg"]]) for one in details)
        raise ConfigurationError(
            f"the settings for S3 are not usable: {wrong}",
            where="ARCHON_S3_…",
            todo="correct them in the environment or in the .env file; nothing was touched",
        ) from None
