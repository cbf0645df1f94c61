"""The database by TLS alone, its certificate and name verified."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from accounts.__main__ import main
from accounts.database import open_database
from disaster.mariadb import MariaDb
from tests.accounts.mariadb import running


def self_signed(folder: Path, name: str, address: str) -> Path:
    """A certificate of an IP address and its key, in one folder; returns the certificate's file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(certificate.public_bytes(pem))
    return path


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("certificates"), "database", "127.0.0.1")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, certificate: Path) -> Iterator[MariaDb]:
    options = (f"--ssl-cert={certificate}", f"--ssl-key={certificate.with_suffix('.key')}")
    with running(tmp_path_factory.mktemp("mariadb"), options) as server:
        yield server


def test_it_is_spoken_to_by_tls(server: MariaDb, certificate: Path) -> None:
    engine = open_database(server.url(), ca_file=certificate)
    with engine.connect() as connection:
        name, cipher = connection.execute(text("SHOW STATUS LIKE 'Ssl_cipher'")).one()
        assert (name, bool(cipher)) == ("Ssl_cipher", True)
    engine.dispose()


def test_another_server_is_not_spoken_to(
    server: MariaDb, certificate: Path, tmp_path: Path
) -> None:
    other = self_signed(tmp_path, "other", "127.0.0.1")
    for url, trusted in (
        (server.url(), other),
        # The certificate is of 127.0.0.1.
        (server.url().replace("@127.0.0.1:", "@localhost:"), certificate),
    ):
        engine = open_database(url, ca_file=trusted)
        with pytest.raises(OperationalError, match="certificate"), engine.connect():
            pass
        engine.dispose()


def test_a_server_without_tls_is_not_spoken_to(tmp_path: Path, certificate: Path) -> None:
    with running(tmp_path, ("--disable-ssl",)) as plain:
        engine = open_database(plain.url(), ca_file=certificate)
        with pytest.raises(OperationalError, match="SSL"), engine.connect():
            pass
        engine.dispose()


def test_every_command_reads_the_setting(
    server: MariaDb, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISION_DATABASE_URL", server.url())
    monkeypatch.setenv("VISION_DATABASE_CA_FILE", str(certificate))
    assert main(["migrate"]) == 0
    assert main(["reconcile"]) == 0
