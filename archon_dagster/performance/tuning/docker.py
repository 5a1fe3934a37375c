"""Settings of the Docker daemon: a proposal, merged into what is there and validated, in a file of its own.

Never applied and nothing restarted: a restart of the daemon ends every container of the host, and a daemon that does
not like its file does not come back. Every key that is there stays as it is; only what is missing is added.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from archon_dagster.errors import ConfigurationError
from archon_dagster.performance.tuning.docker_options import Json, wanted
from archon_dagster.platform.container import in_container
from archon_dagster.platform.settings import Settings
from archon_dagster.platform.whole_files import replace

_VALIDATE_LIMIT = 20.0  # seconds
_SIZED_LOGS = ("json-file", "local")
"""Log drivers that know ``max-size`` and ``max-file``; any other makes a daemon with them refuse to start."""

_LIVE = ("live-restore",)
"""What a reload of the daemon takes up; the others need a restart, and count for containers made from then on."""

Validate = Callable[[Path], str]


@dataclass(frozen=True)
class Proposal:
    """What is proposed.

    :param source: the daemon's own file, whether it is there or not. :param file: where the proposal is written.
    :param changed: by dotted name: what is there (``None``: nothing), and what is proposed.
    :param kept: what was to be added and is there already, or cannot be.
    :param checked: how it was validated.
    :param unseen: the host's file, which may say more, is not to be seen from here.
    """

    source: Path
    file: Path
    content: Json
    changed: dict[str, tuple[Any, Any]]
    kept: tuple[str, ...] = ()
    checked: str = ""
    unseen: bool = False

    @property
    def warning(self) -> str:
        """What must be known before anything is typed; empty where there is nothing."""
        if not self.unseen:
            return ""
        return (
            f"THE HOST'S {self.source} IS NOT IN THIS: archon runs in a container and does not see it. Put over it, "
            "the proposal would lose what stands there (data-root, mirrors, proxies): merge it by hand, or mount the "
            "file"
        )

    @property
    def diff(self) -> list[str]:
        """The difference by dotted name; other keys, which may hold credentials of a proxy, are not shown."""
        lines = []
        for name, (before, after) in sorted(self.changed.items()):
            lines += [f"- {name}: {json.dumps(before)}"] if before is not None else []
            lines += [f"+ {name}: {json.dumps(after)}"]
        return lines

    @property
    def steps(self) -> list[str]:
        """What an operator would type; nothing of it is done here."""
        restart = any(not name.startswith(_LIVE) for name in self.changed)
        install = f"sudo install --mode 644 {self.file} {self.source}"
        merge = f"sudoedit {self.source}   # add what stands above, keep everything that is there"
        return [
            f"sudo cp --archive {self.source} {self.source}.before   # if it is there: the way back",
            merge if self.unseen else install,
            f"sudo dockerd --validate --config-file {self.source}",
            "sudo systemctl reload docker   # takes up live-restore; ends no container",
            *(
                ["sudo systemctl restart docker   # in a maintenance window; the rest counts for new containers only"]
                if restart
                else []
            ),
        ]


def proposal_file(home: Path) -> Path:
    """Where the proposal is written."""
    return home / "performance" / "daemon.json.proposed"


def propose(settings: Settings, pairs: Sequence[str] = (), *, flags: Iterable[str] | None = None) -> Proposal:
    """Merge; writes nothing.

    :param flags: names of options on the daemon's command line; default: those of the one that runs here.
    :raises ConfigurationError: the daemon's file cannot be understood, or a setting is refused.
    """
    source = settings.docker_daemon_file
    current = read_daemon(source)
    taken = set(_running_flags() if flags is None else flags)
    values = wanted(pairs)
    content, changed, kept = copy.deepcopy(current), dict[str, tuple[Any, Any]](), list[str]()
    for name, value in values.items():
        if why := _hindered(name, current, taken):
            kept.append(f"{name}: {why}")
        elif (there := _get(current, name)) is None or (pairs and there != value):
            _put(content, name, value)
            changed[name] = (there, value)
        else:
            kept.append(f"{name}: is {json.dumps(there)} already")
    unseen = in_container() and not source.exists()
    return Proposal(source, proposal_file(settings.home), content, changed, tuple(kept), unseen=unseen)


def write(proposal: Proposal, validate: Validate | None = None) -> Proposal:
    """Write the proposal beside the home's other files, and have it validated there; one that is bad is removed.

    :raises ConfigurationError: ``dockerd`` does not take it.
    """
    replace(proposal.file, (json.dumps(proposal.content, indent=2) + "\n").encode())
    try:
        checked = (validate or validated)(proposal.file)
    except ConfigurationError:
        proposal.file.unlink(missing_ok=True)
        raise
    return dataclasses.replace(proposal, checked=checked)


def withdraw(settings: Settings) -> bool:
    """Remove the proposal; ``False`` where there was none."""
    file = proposal_file(settings.home)
    there = file.exists()
    file.unlink(missing_ok=True)
    return there


def read_daemon(file: Path) -> Json:
    """The daemon's settings; none where there is no file.

    :raises ConfigurationError: it is not what a daemon could read. Merging into it would lose what it says.
    """
    try:
        text = file.read_text()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the Docker daemon's settings cannot be read: {error}", where=str(file)) from error
    try:
        found = json.loads(text or "{}", object_pairs_hook=_once)
    except ValueError as error:
        raise ConfigurationError(
            f"the Docker daemon's settings are not usable, nothing was written: {error}",
            where=str(file),
            todo="mend the file first: the daemon would not start with it either",
        ) from error
    if not isinstance(found, dict):
        raise ConfigurationError("the Docker daemon's settings are no JSON object", where=str(file))
    return found


def validated(file: Path) -> str:
    """What ``dockerd --validate`` says, which starts nothing; its absence is said and no error."""
    program = shutil.which("dockerd")
    if program is None:
        return "not validated: there is no dockerd here; validate it on the host (see the steps)"
    try:
        done = subprocess.run(
            [program, "--validate", "--config-file", str(file)],
            capture_output=True, text=True, timeout=_VALIDATE_LIMIT, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"not validated: dockerd could not be asked: {error}"
    said = (done.stderr or done.stdout).strip().splitlines()
    if done.returncode == 0:
        return "validated by dockerd"
    if any("unknown flag" in line for line in said):
        return "not validated: this dockerd is older than 23 and cannot"
    raise ConfigurationError(
        f"dockerd does not take the proposal: {said[-1] if said else f'exit code {done.returncode}'}",
        where=str(file),
        todo="leave that setting out; nothing was applied",
    )


def _hindered(name: str, current: Mapping[str, Any], flags: set[str]) -> str:
    """Why a key must not be added: the daemon would not start with it."""
    top = name.partition(".")[0]
    option = {"log-opts": "log-opt", "default-ulimits": "default-ulimit"}.get(top, top)
    if option in flags:
        return f"--{option} is on the daemon's command line; with both it does not start"
    driver = current.get("log-driver", "json-file")
    if top == "log-opts" and driver not in _SIZED_LOGS:
        return f"the log driver is {driver}, which has no such option"
    if top in current and "." in name and not isinstance(current[top], dict):
        return f"{top} is no object there"
    return ""


def _running_flags() -> list[str]:
    """Names of options of the daemon that runs on this host, where it can be seen."""
    for process in psutil.process_iter(["name", "cmdline"]):
        if process.info["name"] == "dockerd":
            line: list[str] = process.info["cmdline"] or []
            return [one.lstrip("-").partition("=")[0] for one in line[1:] if one.startswith("--")]
    return []


def _once(pairs: list[tuple[str, Any]]) -> Json:
    """A key that stands there twice: which one counts is the daemon's guess."""
    names = [name for name, _ in pairs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{', '.join(sorted(twice))} stands there twice")
    return dict(pairs)


def _get(content: Mapping[str, Any], name: str) -> Any:
    top, _, rest = name.partition(".")
    inner = content.get(top)
    if not rest:
        return inner
    return inner.get(rest) if isinstance(inner, dict) else None


def _put(content: Json, name: str, value: Any) -> None:
    top, _, rest = name.partition(".")
    if rest:
        content.setdefault(top, {})[rest] = value
    else:
        content[top] = value
