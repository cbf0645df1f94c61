"""Certificates of customers' domains by an authority of this machine, where the edge finds them."""

from __future__ import annotations

import shutil
from pathlib import Path

from edge.authority import Authority
from edge.certificates import CHAIN


class LocalCertificates:
    """One folder a domain among the edge's certificates.

    Args:
        certificates: the edge's folder of folders.
        authority: folder of the authority's key.
    """

    def __init__(self, certificates: Path, authority: Path) -> None:
        self._certificates = certificates
        self._authority = Authority(authority)

    def ensure(self, name: str) -> str:
        """Issue, or renew where it is due."""
        folder = self._certificates / name
        self._authority.keep([name], folder)
        return "" if (folder / CHAIN).exists() else "its certificate is not written"

    def remove(self, name: str) -> str:
        shutil.rmtree(self._certificates / name, ignore_errors=True)
        return ""
