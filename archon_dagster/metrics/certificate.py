"""Until when the certificate of a TLS server is valid, whoever has signed it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

from prometheus_client import Metric

from archon_dagster.errors import ConfigurationError, ServiceError
from archon_dagster.metrics.gauge import gauge

LIMIT = 5.0  # seconds of each of two connections


def certificate(address: str, now: float) -> Iterator[Metric]:
    """Of the server at ``host:port``; raises :class:`ServiceError` where it does not answer."""
    yield gauge(
        "archon_certificate_expiry_timestamp_seconds",
        "Until when the certificate of a server is valid; 0: it is not valid now.",
        {(address,): expiry(*parsed(address))},
        ("server",),
    )


def parsed(address: str) -> tuple[str, int]:
    """Host and port of ``host:port``."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigurationError(f"{address!r} is no address of a server", todo="write it as host:port")
    return host.strip("[]"), int(port)


def expiry(host: str, port: int) -> float:
    """Seconds since the epoch; 0 where the certificate is not valid now.

    It is taken on trust, and then asked for again with that trust: only of a certificate that is trusted does Python
    say what stands in it. Nobody's name is checked: this looks at a date.
    """
    try:
        trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusted.check_hostname = False
        trusted.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        trusted.load_verify_locations(cadata=ssl.get_server_certificate((host, port), timeout=LIMIT))
        with socket.create_connection((host, port), LIMIT) as plain, trusted.wrap_socket(plain) as connection:
            return float(ssl.cert_time_to_seconds(str((connection.getpeercert() or {})["notAfter"])))
    except ssl.SSLCertVerificationError:
        return 0.0
    except (OSError, KeyError, ValueError) as error:
        raise ServiceError(
            f"no certificate could be read: {error}",
            where=f"{host}:{port}",
            todo="is the server up, does it speak TLS?",
        ) from error
