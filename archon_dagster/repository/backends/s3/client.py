"""One boto3 client: how it is made, with whose credentials, and how long it waits.

A client is safe for many threads, making one is not: that happens under a lock, once for each backend.
"""

from __future__ import annotations

import threading
from typing import Any

import boto3
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    DeferredRefreshableCredentials,
)
from botocore.handlers import add_expect_header
from botocore.session import Session

from archon_dagster.repository.backends.heeding import heed
from archon_dagster.repository.backends.s3.settings import S3Settings

_DEFAULT_REGION = "us-east-1"  # a name that servers other than AWS take for "wherever you are"
_making = threading.Lock()


def make_client(settings: S3Settings) -> Any:
    """A client for S3; connects to nothing yet."""
    with _making:
        session = _session(settings)
        client = session.client(
            "s3",
            endpoint_url=settings.endpoint,
            region_name=settings.region or session.region_name or _DEFAULT_REGION,
            verify=settings.ca_bundle,
            config=_config(settings),
        )
    # our bodies are small: waiting for a "continue" before each costs a round trip and gains nothing
    client.meta.events.unregister("before-call.s3", add_expect_header)
    # a request whose caller has gone is not sent, and not repeated
    client.meta.events.register_first("before-send.s3", _heed)
    client.meta.events.register_first("needs-retry.s3", _heed)
    return client


def _heed(**_: Any) -> None:
    heed()


def _config(settings: S3Settings) -> Config:
    return Config(
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
        retries={"mode": settings.retries, "total_max_attempts": settings.attempts},
        max_pool_connections=settings.connections,
        request_checksum_calculation=settings.checksum_mode,
        response_checksum_validation=settings.checksum_mode,
        s3={"addressing_style": settings.addressing_style},
        tcp_keepalive=True,
        user_agent_extra="archon-dagster",
    )


def _session(settings: S3Settings) -> boto3.Session:
    session = boto3.Session(
        aws_access_key_id=settings.key,
        aws_secret_access_key=settings.secret.get_secret_value() if settings.secret else None,
        aws_session_token=settings.session_token.get_secret_value() if settings.session_token else None,
        profile_name=settings.profile,
    )
    if settings.role_arn is None:
        return session
    own = Session()
    own.register_component("credential_provider", CredentialResolver([_Role(session, settings)]))
    return boto3.Session(botocore_session=own, region_name=settings.region or session.region_name)


class _Role(CredentialProvider):  # type: ignore[misc]
    """Credentials of a role, fetched when first needed and again before they expire."""

    METHOD = "archon-role"

    def __init__(self, session: boto3.Session, settings: S3Settings):
        super().__init__()
        self._session, self._settings = session, settings

    def load(self) -> DeferredRefreshableCredentials:
        fetcher = AssumeRoleCredentialFetcher(
            client_creator=self._client,
            source_credentials=self._session.get_credentials(),
            role_arn=self._settings.role_arn,
            extra_args={"RoleSessionName": "archon-dagster"},
        )
        return DeferredRefreshableCredentials(refresh_using=fetcher.fetch_credentials, method=self.METHOD)

    def _client(self, service: str, **arguments: Any) -> Any:
        region = self._settings.region or self._session.region_name or _DEFAULT_REGION
        config = Config(
            connect_timeout=self._settings.connect_timeout,
            read_timeout=self._settings.read_timeout,
            retries={"mode": "standard", "total_max_attempts": self._settings.attempts},
        )
        return self._session.client(service, region_name=region, config=config, **arguments)
