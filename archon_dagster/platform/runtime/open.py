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
    return _compose(settings)


def _compose(settings: Settings) -> Runtime:
    from archon_dagster.platform.runtime import compose_project

    directory = settings.project_dir
    if not compose_project.is_project(directory):
        raise ConfigurationError(
            "there is no platform here: no compose file in the project directory",
            where=f"project directory {directory}, ARCHON_HOME {settings.home}",
            todo="name the platform's directory with ARCHON_PROJECT_DIR; or start the embedded platform (archon "
            "sandbox up, or make up); or set ARCHON_RUNTIME=elsewhere and the addresses of servers that run already",
        )
    if not compose_project.client_installed():
        raise ConfigurationError(
            "the docker command line is not installed, and the platform runs on Docker Compose",
            where="PATH",
            todo="install Docker with its compose plugin, version 2",
        )
    from archon_dagster.platform.runtime.compose import ComposeRuntime

    project = compose_project.ComposeProject(directory, settings.compose_project)
    return ComposeRuntime(project, settings.home / "locks")
