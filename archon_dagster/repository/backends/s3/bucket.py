"""A bucket, where in it the repository is, and the client that reaches it: what every part of the backend needs."""

from __future__ import annotations

import threading
import weakref
from typing import Any

from archon_dagster.repository.backends.base import checked_key
from archon_dagster.repository.backends.s3.address import Address
from archon_dagster.repository.backends.s3.client import make_client
from archon_dagster.repository.backends.s3.settings import S3Settings


class Bucket:
    """The place of one repository. The client is made when first needed and closed with this object."""

    def __init__(self, address: Address, settings: S3Settings):
        self.address, self.settings = address, settings
        self._mutex = threading.Lock()
        self._client: Any = None
        self._closing: weakref.finalize[..., Bucket] | None = None

    @property
    def client(self) -> Any:
        """The boto3 client."""
        with self._mutex:
            if self._client is None:
                self._client = make_client(self.settings)
                self._closing = weakref.finalize(self, self._client.close)
            return self._client

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        with self._mutex:
            if self._closing is not None:
                self._closing()
            self._client = self._closing = None

    def object(self, key: str) -> dict[str, str]:
        """The arguments that name an object."""
        return {"Bucket": self.address.bucket, "Key": self.address.prefix + checked_key(key)}

    def own(self, name: str) -> dict[str, str]:
        """The arguments that name an object of the backend itself; it starts with a dot and is never listed."""
        return {"Bucket": self.address.bucket, "Key": f"{self.address.prefix}.archon/{name}"}

    def where(self, key: str = "") -> str:
        """An object's place, for messages."""
        return f"s3://{self.address.bucket}/{self.address.prefix}{key}{self._at()}"

    def describe(self) -> str:
        """The repository's place, for messages."""
        return f"{self.address}{self._at()}"

    def _at(self) -> str:
        return f" at {self.settings.endpoint}" if self.settings.endpoint else ""
