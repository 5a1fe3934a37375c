"""Encrypted connections: a certificate that is vouched for is accepted in both checksum modes, any other is not."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from archon_dagster.errors import RepositoryError
from archon_dagster_tests.integration.s3.servers import Server, running_versitygw


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for the loopback address, signed by itself, and its key."""
    folder, key = tmp_path_factory.mktemp("certificate"), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "archon tests")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(made.public_bytes(encoding))
    (folder / "key.pem").write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain))
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture(scope="module")
def encrypted(certificate: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_versitygw(tmp_path_factory.mktemp("versitygw"), certificate) as server:
        yield server


@pytest.mark.parametrize("mode", ["when_required", "when_supported"])
def test_a_certificate_of_the_named_authority_is_accepted(
    encrypted: Server, certificate: tuple[Path, Path], mode: str
) -> None:
    backend = encrypted.backend(ARCHON_S3_CA_BUNDLE=str(certificate[0]), ARCHON_S3_CHECKSUMS=mode)
    etag = backend.put("locks/x", b"content" * 10_000, if_absent=True)
    assert backend.replace("locks/x", b"next", if_match=etag)
    assert backend.get("locks/x").data == b"next"
    backend.close()


def test_any_other_certificate_is_refused_before_anything_is_sent(encrypted: Server) -> None:
    backend = encrypted.backend(ARCHON_S3_ATTEMPTS=1)
    with pytest.raises(RepositoryError, match="encrypted connection failed") as caught:
        backend.put("locks/x", b"content")
    assert "ARCHON_S3_CA_BUNDLE" in str(caught.value)
    backend.close()
