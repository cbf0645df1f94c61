"""Certificates by ACME: a real exchange with a small authority, through the edge."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from common.errors import StartError
from edge.authority import Authority
from edge.certificates import Folders, require_pair
from edge.renewal import PublicAuthority, RenewalError, certbot_program, main
from tests.accounts.conftest import sqlite_template  # noqa: F401
from tests.edge.pebble import pebble
from tests.edge.stack import with_stub
from tests.edge.test_tls import OWN, answers, connect, refused
from tests.needs import missing
from tests.waiting import wait_until

CUSTOMER = "customer-a.example"
SECONDS = 90.0


def _presented(port: int, name: str) -> x509.Certificate:
    """The certificate for a name, whoever has issued it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        context.wrap_socket(plain, server_hostname=name) as connection,
    ):
        der = connection.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der)


def _serial(port: int, name: str) -> int:
    return _presented(port, name).serial_number


def _issuer_of(port: int, name: str) -> str:
    return _presented(port, name).issuer.rfc4514_string()


def test_a_certificate_is_obtained_and_renewed_under_an_open_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        certbot_program()
    except StartError as error:
        missing("environments", str(error))
    folders = Folders(tmp_path / "certificates", tmp_path / "envoy")
    local = Authority(tmp_path / "authority")
    local.issue([OWN, "127.0.0.1"], folders.certificates / "edge")
    with (
        with_stub(tmp_path, f"sqlite:///{tmp_path}/accounts.db", (), folders) as stack,
        pebble(tmp_path / "pebble", stack.ports.edge) as (server, trusted),
    ):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
        acme = PublicAuthority(folders.certificates, tmp_path / "acme", stack.ports.acme, server)
        acme.obtain(CUSTOMER)
        folder = folders.certificates / CUSTOMER
        first = require_pair(folder)
        assert "Pebble" in first.issuer.rfc4514_string()
        # Of no authority that this client trusts, but of the name that it asks for.
        wait_until(
            lambda: _issuer_of(stack.ports.tls, CUSTOMER) == first.issuer.rfc4514_string(), SECONDS
        )

        connection, _ = connect(stack, local, OWN)
        key = stack.key().key
        assert answers(connection, key)
        assert acme.renew() == [], "it is not due"
        assert acme.renew(now=True) == [CUSTOMER]
        second = require_pair(folder)
        assert second.serial_number != first.serial_number
        wait_until(lambda: _serial(stack.ports.tls, CUSTOMER) == second.serial_number, SECONDS)
        assert answers(connection, key)
        connection.close()

        # What leads elsewhere gets none, and what is there stays.
        elsewhere = PublicAuthority(folders.certificates, tmp_path / "acme", 1, server)
        with pytest.raises(RenewalError, match="certbot failed"):
            elsewhere.obtain("customer-b.example")
        assert require_pair(folder).serial_number == second.serial_number

        arguments = ["--remove", CUSTOMER, "--certificates", str(folders.certificates)]
        assert main([*arguments, "--state", str(tmp_path / "acme")]) == 0
        wait_until(
            lambda: _issuer_of(stack.ports.tls, CUSTOMER) != first.issuer.rfc4514_string(), SECONDS
        )
        assert refused(stack, local, CUSTOMER)
        assert acme.renew(now=True) == []
