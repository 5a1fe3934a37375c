"""The settings although somebody has spoilt the platform's ``.env``: for what mends that file, and for what must load.

A typing error in one line must not disable the tool that takes it back, nor take every schedule out of Dagster.
Everything else goes by :func:`~archon_dagster.platform.settings.load_settings`, which refuses the file.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic_settings import BaseSettings, DotEnvSettingsSource, PydanticBaseSettingsSource

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.settings import Settings, checked, load_settings

FIXED_WHILE_LOADING = (
    "ARCHON_TIMEZONE", "ARCHON_MAINTENANCE_CRON", "ARCHON_RETENTION_CRON", "ARCHON_DRILL_CRON",
    "ARCHON_HEALTH_INTERVAL", "ARCHON_AUTOSCALE_INTERVAL",
)  # fmt: skip
"""What schedules and sensors are made of: Dagster goes by the values there were when it loaded the code location."""


def usable_settings() -> Settings:
    """The settings, without those values of the platform's ``.env`` that they refuse.

    :raises ConfigurationError: what is wrong stands elsewhere, in the environment or in the control plane's own file.
    """
    try:
        return load_settings()
    except ConfigurationError as error:
        try:
            return _without_refused()
        except UnicodeDecodeError:  # of the control plane's own file
            raise error from None


def settings_while_loading() -> Settings:
    """For what Dagster fixes when it loads the code location: with defaults, rather than that nothing is there.

    Whatever works by the settings then says what is wrong with them.
    """
    try:
        return usable_settings()
    except ConfigurationError:
        return GivenSettings()


class GivenSettings(Settings):
    """From what it is given alone; from nothing, the defaults."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def _without_refused() -> Settings:
    """One value after the other: also what is refused only together with others is found so."""
    given, kept = dict[str, str](), dict[str, str]()

    class Trying(Settings):
        @classmethod
        def of_platform(cls, settings_cls: type[BaseSettings], file: Path) -> DotEnvSettingsSource:
            given.update(given or _values(file))
            source = DotEnvSettingsSource(settings_cls, env_file=None)
            source.env_vars = {**kept}
            return source

    found = checked(Trying, {})
    for name, value in given.items():
        kept[name] = value
        try:
            found = checked(Trying, {})
        except ConfigurationError:
            del kept[name]
    return found


def _values(file: Path) -> dict[str, str]:
    """What stands in the file, as far as it is text: names in small letters, as the sources of settings want them."""
    try:
        text = file.read_bytes().decode("utf-8", "replace")
    except OSError:
        return {}  # who works on the file says what is wrong with it
    values = dotenv_values(stream=io.StringIO(text))
    return {name.lower(): value for name, value in values.items() if value and "\N{REPLACEMENT CHARACTER}" not in value}
