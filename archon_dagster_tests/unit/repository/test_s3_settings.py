"""Settings of S3: where they come from, what belongs together, and that secrets stay secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from archon_dagster.errors import ConfigurationError
from archon_dagster.repository.backends.s3.client import make_client
from archon_dagster.repository.backends.s3.settings import load_s3_settings


def test_the_env_files_of_the_home_and_the_platform_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ARCHON_HOME", str(tmp_path))
    (tmp_path / "platform").mkdir()
    (tmp_path / ".env").write_text("ARCHON_S3_KEY=own\nARCHON_S3_SECRET=s\nARCHON_S3_REGION=eu-west-1\n")
    (tmp_path / "platform/.env").write_text("ARCHON_S3_REGION=platform\nARCHON_S3_ENDPOINT=https://s3.example.org\n")
    monkeypatch.setenv("ARCHON_S3_KEY", "environment")
    found = load_s3_settings()
    assert (found.key, found.region, found.endpoint) == ("environment", "eu-west-1", "https://s3.example.org")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"ARCHON_S3_KEY": "hunter2"}, "belong together"),
        ({"ARCHON_S3_SECRET": "hunter2"}, "belong together"),
        ({"ARCHON_S3_KEY": "k", "ARCHON_S3_SECRET": "hunter2", "ARCHON_S3_PROFILE": "p"}, "exclude"),
        ({"ARCHON_S3_ENDPOINT": "s3.example.org"}, "ARCHON_S3_ENDPOINT"),
        ({"ARCHON_S3_ENDPOINT": "https://me:hunter2@s3.example.org"}, "ARCHON_S3_ENDPOINT"),
        ({"ARCHON_S3_CHECKSUMS": "hunter2"}, "ARCHON_S3_CHECKSUMS"),
        ({"ARCHON_S3_ATTEMPTS": 0}, "ARCHON_S3_ATTEMPTS"),
    ],
)
def test_what_does_not_go_together_is_named_without_values(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        load_s3_settings(**given)
    assert "hunter2" not in str(caught.value)


def test_secrets_do_not_show() -> None:
    settings = load_s3_settings(ARCHON_S3_KEY="key1", ARCHON_S3_SECRET="hunter2", ARCHON_S3_SESSION_TOKEN="token3")
    assert not any(secret in f"{settings!r} {settings}" for secret in ("key1", "hunter2", "token3"))


@pytest.mark.parametrize(
    ("endpoint", "checksums", "addressing"),
    [(None, "when_supported", "auto"), ("https://s3.example.org", "when_required", "path")],
)
def test_other_servers_than_aws_get_careful_defaults(endpoint: str | None, checksums: str, addressing: str) -> None:
    settings = load_s3_settings(ARCHON_S3_ENDPOINT=endpoint)
    assert (settings.checksum_mode, settings.addressing_style) == (checksums, addressing)


def test_the_client_gets_what_was_set() -> None:
    client = make_client(
        load_s3_settings(
            ARCHON_S3_REGION="eu-west-1", ARCHON_S3_KEY="k", ARCHON_S3_SECRET="s", ARCHON_S3_ATTEMPTS=7,
            ARCHON_S3_RETRIES="adaptive", ARCHON_S3_CONNECTIONS=3, ARCHON_S3_READ_TIMEOUT=8,
            ARCHON_S3_CHECKSUMS="when_required", ARCHON_S3_ADDRESSING="virtual",
        )
    )  # fmt: skip
    config = client.meta.config
    client.close()
    assert (client.meta.region_name, config.max_pool_connections, config.read_timeout) == ("eu-west-1", 3, 8)
    assert (config.retries["mode"], config.retries["total_max_attempts"]) == ("adaptive", 7)
    assert (config.request_checksum_calculation, config.s3["addressing_style"]) == ("when_required", "virtual")
