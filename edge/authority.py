"""A certificate authority of this machine, for where no public one can see its names."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge.certificates import CHAIN, KEY, CertificateError, require_pair, write_pair

AUTHORITY_DAYS = 3650
DAYS = 90
RENEW_DAYS = 30
"""A certificate that is valid for less is made anew at the next start."""


class Authority:
    """Signs certificates with the key in ``folder``, which is made where there is none.

    Whoever has the key can make a certificate of any name that this authority's users trust: it is
    readable by its owner alone, and nobody else should trust it.

    Raises:
        CertificateError: what is there is not a pair.
    """

    def __init__(self, folder: Path) -> None:
        self.certificate_file = folder / CHAIN
        if not self.certificate_file.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            name = _named("vision, this machine's authority")
            builder = _builder(name, name, key.public_key(), AUTHORITY_DAYS)
            usage = x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=True,
                crl_sign=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            )
            builder = builder.add_extension(x509.BasicConstraints(True, 0), critical=True)
            builder = builder.add_extension(usage, critical=True)
            builder = builder.add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            _write(folder, [builder.sign(key, hashes.SHA256())], key)
        self._certificate = require_pair(folder)
        found = load_pem_private_key((folder / KEY).read_bytes(), None)
        if not isinstance(found, ec.EllipticCurvePrivateKey):
            raise CertificateError(f"{folder}: {KEY} is not of an elliptic curve")
        self._key = found

    def issue(self, names: Sequence[str], folder: Path) -> None:
        """Write a certificate of these DNS names and IP addresses, and its key, into ``folder``."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_named(names[0]), self._certificate.subject, key.public_key(), DAYS)
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_general(name) for name in names]), critical=False
        )
        builder = builder.add_extension(x509.BasicConstraints(False, None), critical=True)
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
            critical=False,
        )
        signed = builder.sign(self._key, hashes.SHA256())
        _write(folder, [signed, self._certificate], key)

    def keep(self, names: Sequence[str], folder: Path) -> None:
        """Issue where there is no such certificate of ours, or it ends within ``RENEW_DAYS``."""
        try:
            present = require_pair(folder)
            present.verify_directly_issued_by(self._certificate)
            extension = present.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            same = list(extension.value) == [_general(name) for name in names]
        except (CertificateError, ValueError, TypeError, x509.ExtensionNotFound, InvalidSignature):
            same = False
        soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(RENEW_DAYS)
        if not same or present.not_valid_after_utc < soon:
            self.issue(names, folder)


def _write(
    folder: Path, chain: Sequence[x509.Certificate], key: ec.EllipticCurvePrivateKey
) -> None:
    write_pair(
        folder,
        b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def _named(text: str) -> x509.Name:
    # A common name has 64 characters at most; clients read the alternative names.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        # Clocks of clients may be behind.
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days))
    )
