"""``python -m edge.certificates``: the certificates of a folder, as Envoy takes them.

The folder has a folder for each certificate, with ``tls.crt`` (the chain) and ``tls.key``, as
cert-manager writes them into a Secret. Envoy chooses among them by the name that a client asks for
(SNI). A file that is written anew is read anew by Envoy itself, and no connection ends; a folder
that comes or goes changes the list, and connections of before are asked to be made anew within
Envoy's time for draining. A pair that does not fit is left out and said, since one of them would
keep the whole listener closed.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from common.logs import configure_logging

CHAIN, KEY = "tls.crt", "tls.key"
LISTENERS = "listeners.json"
LOOK_SECONDS = 1.0
SETTLED_SECONDS, AGAIN_SECONDS = 0.5, 0.01
"""A folder that has not changed for so long is no longer being written, and how often it is read
until then.
"""
SECRET_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105
LISTENER_TYPE = "type.googleapis.com/envoy.config.listener.v3.Listener"

logger = logging.getLogger("edge.certificates")


class CertificateError(ValueError):
    """A chain and a key that are no pair; the message says why."""


@dataclass(frozen=True)
class Folders:
    """Where certificates are, and where Envoy finds what it reads.

    Attributes:
        certificates: one folder for each of them.
        envoy: of the list of listeners and a file for each certificate.
        own: name of the one for clients that ask for no name that there is.
    """

    certificates: Path
    envoy: Path
    own: str = "edge"


def require_pair(folder: Path) -> x509.Certificate:
    """The certificate in ``folder``.

    Raises:
        CertificateError: a file is missing, is no PEM, or the key is another certificate's.
    """
    try:
        certificate = x509.load_pem_x509_certificate((folder / CHAIN).read_bytes())
        key = load_pem_private_key((folder / KEY).read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise CertificateError(f"{folder}: {error}") from None
    of_both = [
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for public in (certificate.public_key(), key.public_key())
    ]
    if of_both[0] != of_both[1]:
        raise CertificateError(f"{folder}: {KEY} is not the key of {CHAIN}")
    return certificate


def write_pair(folder: Path, chain: bytes, key: bytes) -> None:
    """Replace chain and key, PEM both; between the two Envoy keeps the pair that it had."""
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / f".{KEY}"
    new.unlink(missing_ok=True)
    new.touch(0o600)
    new.write_bytes(key)
    new.replace(folder / KEY)
    new = folder / f".{CHAIN}"
    new.write_bytes(chain)
    new.replace(folder / CHAIN)


def settled_pair(folder: Path) -> x509.Certificate:
    """As ``require_pair``, of a folder whose files may be replaced meanwhile.

    Chain and key are two files: one is read before, the other after they were replaced, or between
    the two. So what does not fit is read again until nothing has been replaced for a while.

    Raises:
        CertificateError: as ``require_pair``, of files that stay as they are.
    """
    while True:
        try:
            return require_pair(folder)
        except CertificateError:
            if not _is_fresh(folder):
                raise
            time.sleep(AGAIN_SECONDS)


def _is_fresh(folder: Path) -> bool:
    """Whether a file of it was replaced just now; a rename is a change of the folder."""
    try:
        return 0 <= time.time() - folder.stat().st_mtime < SETTLED_SECONDS
    except OSError:
        return False  # it is gone


def usable(folders: Folders, said: set[str] | None = None) -> list[str]:
    """Names of the pairs that fit, ``folders.own`` first.

    Args:
        said: messages about pairs that do not, so that none is said twice.
    """
    names = []
    said = set() if said is None else said
    found = folders.certificates.iterdir() if folders.certificates.is_dir() else ()
    for folder in sorted(path for path in found if path.is_dir()):
        try:
            settled_pair(folder)
        except CertificateError as error:
            if str(error) not in said:
                said.add(str(error))
                logger.warning("left out: %s", error)
        else:
            names.append(folder.name)
    return sorted(names, key=lambda name: (name != folders.own, name))


def write_secrets(folders: Folders, names: Sequence[str]) -> None:
    """A file for each certificate: how Envoy finds and watches its pair."""
    for name in names:
        pair = folders.certificates.resolve() / name
        secret = {
            "@type": SECRET_TYPE,
            "name": name,
            "tls_certificate": {
                "certificate_chain": {"filename": str(pair / CHAIN)},
                "private_key": {"filename": str(pair / KEY)},
                "watched_directory": {"path": str(pair)},
            },
        }
        _replace(folders.envoy / _file(name), {"resources": [secret]})


def write_listener(folders: Folders, listener: dict[str, Any], names: Sequence[str]) -> None:
    """``listener`` with these certificates, as the one resource of Envoy's list.

    Args:
        listener: of TLS, whose list of certificates is replaced.
    """
    write_secrets(folders, names)
    (chain,) = listener["filter_chains"]
    context = chain["transport_socket"]["typed_config"]["common_tls_context"]
    context["tls_certificate_sds_secret_configs"] = [
        {
            "name": name,
            "sds_config": {
                "path_config_source": {"path": str(folders.envoy.resolve() / _file(name))},
                "resource_api_version": "V3",
            },
        }
        for name in names
    ]
    resources = [{"@type": LISTENER_TYPE, **listener}] if names else []
    _replace(folders.envoy / LISTENERS, {"version_info": " ".join(names), "resources": resources})


def _file(name: str) -> str:
    return f"certificate-{name}.json"


def _replace(path: Path, document: dict[str, Any]) -> None:
    """Write a file that is never read half: Envoy looks when it gets its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(document), encoding="utf-8")
    new.replace(path)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m edge.certificates", description=__doc__)
    parser.add_argument("certificates", type=Path, help="folder of folders")
    parser.add_argument("envoy", type=Path, help="folder that Envoy reads, with listeners.json")
    parser.add_argument("--own", default="edge", help="the one for names that there are none of")
    options = parser.parse_args(arguments)
    configure_logging()
    folders = Folders(options.certificates, options.envoy, options.own)
    document = json.loads((folders.envoy / LISTENERS).read_text())
    (listener,) = document["resources"]
    del listener["@type"]
    said: set[str] = set()
    # As it was written, not as the folder is by now: one that came between is to be added.
    listed = document["version_info"].split()
    while True:
        time.sleep(LOOK_SECONDS)
        now = usable(folders, said)
        if now != listed:
            logger.info("certificates: %s", " ".join(now))
            write_listener(folders, listener, now)
            listed = now


if __name__ == "__main__":
    sys.exit(main())
