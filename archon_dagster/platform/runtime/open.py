"""Which runtime the settings ask for."""

from __future__ import annotations

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.runtime.elsewhere import ElsewhereRuntime
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.settings import Settings


def open_runtime(settings: Settings) -> Runtime:
    """The runtime that operates this platform; touches nothing yet."""
    if settings.runtime == "processes":
        from archon_dagster.platform.runtime.processes import ProcessesRuntime

        return ProcessesRuntime(settings.home / "services")
    if settings.runtime == "elsewhere":
        return ElsewhereRuntime()
    raise ConfigurationError(
        "there is no platform here: Docker Compose, the default runtime, is not part of this version",
        where=f"project directory {settings.project_dir}",
        todo="start the embedded platform (archon sandbox up, or make up), or set ARCHON_RUNTIME=elsewhere and the "
        "addresses of servers that run already",
    )
