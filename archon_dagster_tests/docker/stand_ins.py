"""Images made here in the place of the deployment's public ones, and one that the platform builds itself.

``storage`` is made as the public image of PostgreSQL is, as far as that matters to whoever runs it as another user than
its own: the data directory belongs to the image's user and may be written by everybody, programs come from the sandbox.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from archon_dagster.sandbox import postgres
from archon_dagster_tests.docker.conftest import Compose
from archon_dagster_tests.docker.servers import _WRITER, MOUNTS
from archon_dagster_tests.docker_command import IMAGE, docker

GOOD, BAD = _WRITER, "raise SystemExit('injected: it does not start')"
_DATA, _SOCKETS = "/var/lib/postgresql/data", "/var/run/postgresql"

_ENTRYPOINT = """\
#!/bin/sh
set -e
umask 077
if [ ! -f "$PGDATA/PG_VERSION" ]; then
  initdb -D "$PGDATA" -U "$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" --auth-local=trust \\
    --auth-host=scram-sha-256 -E UTF8 --no-locale --no-sync >/dev/null
  echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
  echo "CREATE DATABASE $POSTGRES_DB;" | postgres --single -D "$PGDATA" postgres >/dev/null
fi
exec postgres -D "$PGDATA" -h 0.0.0.0 -c unix_socket_directories=SOCKETS
"""

_STORAGE = """\
FROM {image}
RUN groupadd --gid 999 postgres && useradd --uid 999 --gid 999 postgres && useradd --uid {user} runner \\
 && install -d -o postgres -g postgres -m 1777 {data} && install -d -o postgres -g postgres -m 3775 {sockets}
COPY entrypoint /usr/local/bin/entrypoint
VOLUME {data}
ENTRYPOINT ["sh", "/usr/local/bin/entrypoint"]
"""


def build_storage(tag: str, directory: Path, user: int) -> None:
    """The image of Dagster's storage. :param user: who it will run as; the public one makes up a name for any."""
    directory.mkdir()
    (directory / "entrypoint").write_text(_ENTRYPOINT.replace("SOCKETS", _SOCKETS))
    (directory / "Dockerfile").write_text(_STORAGE.format(image=IMAGE, user=user, data=_DATA, sockets=_SOCKETS))
    docker("build", "--quiet", "--tag", tag, str(directory))


def storage_override() -> dict[str, Any]:
    """What the sandbox's programs need, on top of the deployment's own definition."""
    path = f"{postgres.programs()}:/usr/bin:/bin"
    return {"volumes": MOUNTS, "environment": {"PATH": path, "PGHOST": _SOCKETS}}


def agents_service(project: Compose) -> dict[str, Any]:
    """A service whose image the compose project builds itself, with no base that could be pulled.

    It has the programs of the test image in a volume, so an image is nothing but its own program.
    """
    folder = project.directory / "image"
    (folder / "root").mkdir(parents=True)
    for link in ("bin", "lib", "lib64"):
        (folder / "root" / link).symlink_to(f"usr/{link}")
    (folder / "root" / "opt").mkdir()
    (folder / "root" / "opt" / "python").symlink_to("/usr/bin/python3")  # as the health check calls it
    program = 'CMD ["python3", "-u", "/program.py"]'
    label = f"LABEL com.docker.compose.project={project.name}"
    (folder / "Dockerfile").write_text(f"FROM scratch\nCOPY root /\n{label}\n{program}\n")
    write_program(project, GOOD)
    docker("run", "--rm", "--volume", f"{project.name}_programs:/usr", IMAGE, "true")
    return {
        "build": {"context": str(folder)}, "image": f"{project.name}-agents:latest", "init": True,
        "environment": {"PATH": "/opt:/usr/bin"}, "volumes": ["programs:/usr:ro"],
    }  # fmt: skip


def write_program(project: Compose, text: str) -> None:
    """What the next image of the service will run."""
    (project.directory / "image" / "root" / "program.py").write_text(f"# {len(text)}\n{text}")


def never_pulled(services: dict[str, Any]) -> dict[str, Any]:
    """The same services, whose images are here and nowhere else."""
    return {name: one if "build" in one else {**one, "pull_policy": "never"} for name, one in services.items()}
