"""The Docker daemon's settings: merged, validated, in a file of its own; the daemon's own file is never touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from archon_dagster.errors import ConfigurationError
from archon_dagster.performance.tuning import docker
from archon_dagster.performance.tuning.docker import propose, read_daemon, write
from archon_dagster.performance.tuning.summary import proposal_lines
from archon_dagster.platform import container
from archon_dagster.platform.settings import Settings, load_settings

THEIRS = {
    "data-root": "/mnt/docker",
    "registry-mirrors": ["https://mirror.example"],
    "runtimes": {"nvidia": {"path": "nvidia-container-runtime"}},
    "proxies": {"http-proxy": "http://user:hush@proxy.example:3128"},
    "log-opts": {"max-size": "50m", "labels": "tier"},
}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(container, "MARKS", (tmp_path / ".dockerenv",))  # a host, wherever the test runs
    daemon = tmp_path / "etc" / "daemon.json"
    daemon.parent.mkdir()
    daemon.write_text(json.dumps(THEIRS, indent=1))
    return load_settings(ARCHON_HOME=tmp_path / "home", ARCHON_RUNTIME="processes", ARCHON_DOCKER_DAEMON_FILE=daemon)


def taken(_: Path) -> str:
    return "validated by a daemon"


def test_every_key_that_is_there_stays_and_only_what_is_missing_is_added(settings: Settings) -> None:
    before = settings.docker_daemon_file.read_bytes()
    proposal = write(propose(settings, flags=()), taken)
    proposed = json.loads(proposal.file.read_text())
    assert proposed == THEIRS | {
        "live-restore": True, "log-opts": {"max-size": "50m", "labels": "tier", "max-file": "3"},
    }  # fmt: skip
    assert list(proposed)[: len(THEIRS)] == list(THEIRS)
    assert settings.docker_daemon_file.read_bytes() == before
    assert 'log-opts.max-size: is "50m" already' in proposal.kept
    assert proposal.diff == ["+ live-restore: true", '+ log-opts.max-file: "3"']
    assert proposal.file.stat().st_mode & 0o777 == 0o600


def test_credentials_of_a_proxy_are_in_no_line(settings: Settings) -> None:
    proposal = write(propose(settings, flags=()), taken)
    assert "hush" not in "\n".join([*proposal.diff, *proposal.kept, *proposal.steps, proposal.checked])


def test_what_is_named_replaces_what_is_there_and_the_difference_shows_both(settings: Settings) -> None:
    proposal = propose(settings, ["log-opts.max-size=20m"], flags=())
    assert proposal.diff == ['- log-opts.max-size: "50m"', '+ log-opts.max-size: "20m"']
    assert proposal.content["log-opts"] == {"max-size": "20m", "labels": "tier"}


@pytest.mark.parametrize(
    ("theirs", "flags", "why"),
    [
        ({"log-driver": "journald"}, (), "the log driver is journald, which has no such option"),
        ({}, ("log-opt",), "--log-opt is on the daemon's command line; with both it does not start"),
        ({"log-opts": ["max-size"]}, (), "log-opts is no object there"),
    ],
)
def test_what_would_keep_the_daemon_from_starting_is_left_out(
    settings: Settings, theirs: dict[str, object], flags: tuple[str, ...], why: str
) -> None:
    settings.docker_daemon_file.write_text(json.dumps(theirs))
    proposal = propose(settings, flags=flags)
    assert any(line.endswith(why) for line in proposal.kept)
    assert list(proposal.changed) == ["live-restore"]


@pytest.mark.parametrize("text", ['{"a": 1,}', "[1]", '{"log-driver": "local", "log-driver": "json-file"}', "nonsense"])
def test_a_file_the_daemon_could_not_read_is_not_merged_into(settings: Settings, text: str) -> None:
    settings.docker_daemon_file.write_text(text)
    with pytest.raises(ConfigurationError, match=r"daemon\.json"):
        propose(settings, flags=())
    assert settings.docker_daemon_file.read_text() == text


def test_a_host_without_a_file_is_proposed_one_to_install(settings: Settings) -> None:
    settings.docker_daemon_file.unlink()
    proposal = propose(settings, flags=())
    assert proposal.content == {"log-opts": {"max-size": "10m", "max-file": "3"}, "live-restore": True}
    assert read_daemon(settings.docker_daemon_file) == {}
    assert f"sudo install --mode 644 {proposal.file} {proposal.source}" in proposal.steps
    assert proposal.warning == ""


def test_from_within_a_container_the_hosts_file_is_never_to_be_replaced(settings: Settings, tmp_path: Path) -> None:
    """It is there, and holds a ``data-root``, but nobody has mounted it."""
    (tmp_path / ".dockerenv").touch()
    settings.docker_daemon_file.unlink()
    proposal = propose(settings, flags=())
    lines = proposal_lines(write(proposal, taken))
    assert "IS NOT IN THIS" in lines[0] and "data-root" in lines[0] and "merge it by hand" in lines[0]
    assert not any(step.startswith("sudo install") for step in proposal.steps)
    assert any(step.startswith(f"sudoedit {proposal.source}") for step in proposal.steps)


def test_a_file_that_is_mounted_into_the_container_is_merged_as_on_the_host(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / ".dockerenv").touch()
    proposal = propose(settings, flags=())
    assert proposal.content["data-root"] == THEIRS["data-root"]
    assert proposal.warning == ""


@pytest.mark.parametrize(
    ("pair", "why"),
    [
        ("storage-driver=overlay2", "every image and container of the engine is out of sight"),
        ("data-root=/x", "out of sight"),
        ("JAVA_OPTS=-Xmx2g", "Java virtual machine"),
        ("log-opts.max-size=10", "no size such as 10m"),
        ("log-opts.max-file=0", "no number from 1 to 9999"),
        ("live-restore=yes", "neither true nor false"),
        ("default-ulimits.nofile=1", "no number of files"),
        ("icc=false", "set it by hand"),
    ],
)
def test_what_is_refused_says_why_and_writes_nothing(settings: Settings, pair: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        propose(settings, [pair], flags=())
    assert not docker.proposal_file(settings.home).exists()


def fake_dockerd(folder: Path, code: int, says: str) -> None:
    program = folder / "dockerd"
    program.write_text(f"#!/bin/sh\necho \"$@\" > {folder}/called\necho '{says}' >&2\nexit {code}\n")
    program.chmod(0o755)


def test_a_proposal_that_dockerd_does_not_take_is_removed(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_dockerd(tmp_path, 1, "unable to configure the Docker daemon: bad value")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(ConfigurationError, match=r"dockerd does not take the proposal: .*bad value"):
        write(propose(settings, flags=()))
    assert not docker.proposal_file(settings.home).exists()
    called = (tmp_path / "called").read_text()
    assert called == f"--validate --config-file {docker.proposal_file(settings.home)}\n"


@pytest.mark.parametrize(
    ("code", "says", "checked"),
    [(0, "configuration OK", "validated by dockerd"), (125, "unknown flag: --validate", "not validated: this dockerd")],
)
def test_how_it_was_validated_is_said(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, says: str, checked: str
) -> None:
    fake_dockerd(tmp_path, code, says)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert write(propose(settings, flags=())).checked.startswith(checked)


def test_without_a_dockerd_it_is_said_that_nothing_validated_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert write(propose(settings, flags=())).checked.startswith("not validated: there is no dockerd here")


def test_the_proposal_can_be_taken_back(settings: Settings) -> None:
    write(propose(settings, flags=()), taken)
    assert docker.withdraw(settings) is True
    assert docker.withdraw(settings) is False
