"""Which runtime the settings ask for."""

from __future__ import annotations

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.settings import Settings


def open_runtime(settings: Settings) -> Runtime:
    """The runtime that operates this platform; touches nothing yet."""
    if settings.runtime == "processes":
        from archon_dagster.platform.runtime.processes import ProcessesRuntime

        return ProcessesRuntime(settings.home / "services")
    raise ConfigurationError(
        f"the runtime {settings.runtime!r} is not available in this version",
        where=f"ARCHON_RUNTIME, project directory {settings.project_dir}",
        todo="start the embedded platform with 'archon sandbox up' (it sets ARCHON_RUNTIME=processes)",
    )
