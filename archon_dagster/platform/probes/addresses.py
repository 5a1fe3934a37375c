"""Where services are reached."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from archon_dagster.platform.services import Service
from archon_dagster.platform.settings import Settings


def address(service: Service, settings: Settings) -> str:
    """Where a service is reached, without credentials; empty for an external one that is not configured."""
    if service.name == "postgres":
        return "{}:{}".format(*postgres_endpoint(settings))
    value = _setting(settings, service.address_setting)
    if value is None:
        return ""
    if isinstance(value, int):
        place = f"{settings.service_host.replace('{service}', service.name)}:{value}"
        return place if service.probe.kind == "tcp" else f"http://{place}"
    return _without_credentials(str(value)).rstrip("/")


def postgres_endpoint(settings: Settings) -> tuple[str, int]:
    """Host and port of the database, from its DSN where there is one."""
    if settings.postgres_dsn is None:
        return settings.postgres_host, settings.postgres_port
    parts = urlsplit(settings.postgres_dsn.get_secret_value())
    return parts.hostname or settings.postgres_host, parts.port or 5432


def _setting(settings: Settings, alias: str) -> Any:
    for name, field in Settings.model_fields.items():
        if field.alias == alias:
            return getattr(settings, name)
    return None


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
