"""A compose project with copies of some services of another one, which shares nothing with it that can be written.

What makes the server is taken over as compose resolved it: image, command, environment, health check, limits. What ties
it to its platform is not: names, ports, networks, restart policy, and above all its data. Where it keeps data, the copy
gets an empty volume of its own project; what it only reads (a configuration file) is mounted for reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TAKEN_OVER = (
    *("command", "entrypoint", "environment", "user", "group_add", "working_dir", "healthcheck", "ulimits", "shm_size"),
    *("security_opt", "cap_add", "cap_drop", "init", "stop_signal", "tmpfs", "sysctls", "platform", "read_only"),
    *("logging", "secrets", "configs", "mem_limit", "cpus"),
)
_YIELDS = {"oom_score_adj": 500}
"""Where memory runs short the copy is ended, and not the platform beside it. It has its full share of the processors:
a restore that is given less time takes longer than the one whose duration is asked for."""


@dataclass(frozen=True)
class Copy:
    """What a copy needs to know that its original's definition does not say.

    :param image: what it is made from. :param declares: directories that the image itself wants volumes for.
    :param port: the port it listens on, to be published on loopback; ``None``: it is not.
    """

    image: str
    declares: Sequence[str] = ()
    port: int | None = None


def project(
    name: str, config: Mapping[str, Any], copies: Mapping[str, Copy], labels: Mapping[str, str], memory: str
) -> dict[str, Any]:
    """The whole project, as a compose file's content.

    :param config: the other project as compose resolves it. :param copies: by service.
    :param labels: for everything that is made. :param memory: the limit of a service that has none.
    """
    services, volumes = dict[str, Any](), list[str]()
    for service, copy in copies.items():
        original = config["services"][service]
        mounts = _mounts(service, original, copy)
        volumes += [mount["source"] for mount in mounts if mount["type"] == "volume"]
        services[service] = _service(original, copy, labels, memory) | ({"volumes": mounts} if mounts else {})
    made: dict[str, Any] = {"name": name, "services": services, "networks": {"default": {"labels": dict(labels)}}}
    if volumes:
        made["volumes"] = {volume: {"labels": dict(labels)} for volume in volumes}
    for kind in ("secrets", "configs"):
        used = set(_sources(services.values(), kind))
        if used:
            made[kind] = {source: one for source, one in config.get(kind, {}).items() if source in used}
    return made


def container_port(config: Mapping[str, Any], service: str, published: int, usual: int) -> int:
    """The port a server listens on in its container.

    :param published: where its platform reaches it on the host. :param usual: for want of a better knowledge.
    """
    ports = config["services"][service].get("ports", [])
    found = [int(one["target"]) for one in ports if str(one.get("published", "")) == str(published)]
    return found[0] if found else usual


def _service(original: Mapping[str, Any], copy: Copy, labels: Mapping[str, str], memory: str) -> dict[str, Any]:
    limits = dict(original.get("deploy", {}).get("resources", {}).get("limits", {}))
    if "mem_limit" not in original:
        limits.setdefault("memory", memory)
    made = {key: original[key] for key in _TAKEN_OVER if original.get(key) is not None}
    made |= {"image": copy.image, "labels": dict(labels), "restart": "no", **_YIELDS}
    if limits:
        made["deploy"] = {"resources": {"limits": limits}}
    if copy.port is not None:  # which one on the host, the engine chooses
        made["ports"] = [{"target": copy.port, "host_ip": "127.0.0.1", "protocol": "tcp", "mode": "ingress"}]
    return made


def _mounts(service: str, original: Mapping[str, Any], copy: Copy) -> list[dict[str, Any]]:
    mounts = [one for one in original.get("volumes", []) if one["type"] in ("bind", "volume", "tmpfs")]
    kept = [one | {"read_only": True} for one in mounts if one["type"] == "bind" and _is_read(one)]
    kept += [one for one in mounts if one["type"] == "tmpfs"]
    covered = {one["target"] for one in kept}
    wanted = [one["target"] for one in mounts if one["target"] not in covered]
    wanted += [target for target in copy.declares if target not in {*covered, *wanted}]
    own = [
        {"type": "volume", "source": f"{service}-{number}", "target": target} for number, target in enumerate(wanted)
    ]
    return [*kept, *own]


def _is_read(bind: Mapping[str, Any]) -> bool:
    """A directory that may be written is where the data are; a file is configuration, whatever its mode."""
    return bool(bind.get("read_only")) or Path(bind["source"]).is_file()


def _sources(services: Iterable[Mapping[str, Any]], kind: str) -> Iterable[str]:
    for service in services:
        for one in service.get(kind, ()):
            yield one["source"] if isinstance(one, Mapping) else one
