"""Whether somebody has a domain: a record in its DNS, or a file where its name leads."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass

import dns.exception
import dns.resolver

from accounts.domains import DomainView

SECONDS = 5.0
MAX_ADDRESSES = 4
MAX_BYTES = 1024
_IN_ALL_SECONDS = 2 * SECONDS
"""For a file, at all of its addresses: a server that sends a byte now and then would hold
everybody else up.
"""
_PUBLIC_6 = ipaddress.ip_network("2000::/3")
"""What IPv6 has given out. Beside it are addresses with an IPv4 one within, private ones among
them: NAT64 (64:ff9b::/96, 64:ff9b:1::/48), mapped and compatible ones (::/96).
"""
_6TO4 = ipaddress.ip_network("2002::/16")
"""With an IPv4 address within, too."""


@dataclass(frozen=True)
class Prover:
    """Looks for proofs.

    Attributes:
        resolver: ``address:port`` of a DNS server; empty: the system's.
        private_addresses: whether a name may lead into our own network, where it could be made to
            ask what is not public. For tests and closed networks.
        port: of the file's server.
    """

    resolver: str = ""
    private_addresses: bool = False
    port: int = 80

    def problem(self, domain: DomainView) -> str:
        """Why the domain is not proven; empty if it is."""
        in_dns = self._in_dns(domain)
        if not in_dns:
            return ""
        in_file = self._in_file(domain)
        return f"{in_dns}; {in_file}" if in_file else ""

    def _in_dns(self, domain: DomainView) -> str:
        try:
            answer = self._resolver().resolve(domain.txt_name, "TXT", search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return f"DNS has no TXT record {domain.txt_name}"
        except (dns.exception.DNSException, OSError) as error:
            return f"DNS does not answer for {domain.txt_name} ({type(error).__name__})"
        found = {b"".join(record.strings) for record in answer}
        if domain.txt_value.encode() in found:
            return ""
        return f"the TXT record {domain.txt_name} says something else"

    def _in_file(self, domain: DomainView) -> str:
        try:
            addresses = self._addresses(domain.name)
        except (dns.exception.DNSException, OSError) as error:
            return f"the name leads nowhere ({type(error).__name__})"
        allowed = [found for found in addresses if self.private_addresses or is_public(found)]
        if not allowed:
            return "the name leads to no public address"
        said, end = "", time.monotonic() + _IN_ALL_SECONDS
        for address in allowed[:MAX_ADDRESSES]:
            if said and time.monotonic() > end:
                break
            try:
                said = self._read(address, domain, end)
            except (OSError, http.client.HTTPException) as error:
                said = f"no file at http://{domain.name}{domain.file_path} ({type(error).__name__})"
            if not said:
                return ""
        return said

    def _read(self, address: str, domain: DomainView, end: float) -> str:
        # The address that was looked at is the one that is asked: the name is not resolved again,
        # and a redirect is not followed.
        with closing(http.client.HTTPConnection(address, self.port, timeout=SECONDS)) as connection:
            connection.connect()
            with _ended_after(end - time.monotonic(), connection.sock):
                connection.request("GET", domain.file_path, headers={"host": domain.name})
                answer = connection.getresponse()
                text = answer.read(MAX_BYTES)
        if answer.status != 200:
            return f"http://{domain.name}{domain.file_path} answers {answer.status}"
        if text.strip() != domain.token.encode():
            return f"http://{domain.name}{domain.file_path} says something else"
        return ""

    def _addresses(self, name: str) -> list[str]:
        if self.resolver:
            found = []
            for kind in ("A", "AAAA"):
                try:
                    answer = self._resolver().resolve(name, kind, search=False)
                    found += [record.address for record in answer]
                except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
                    pass
            return found
        rows = socket.getaddrinfo(name, self.port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(row[4][0]) for row in rows))

    def _resolver(self) -> dns.resolver.Resolver:
        if not self.resolver:
            resolver = dns.resolver.Resolver()
        else:
            resolver = dns.resolver.Resolver(configure=False)
            address, _, port = self.resolver.rpartition(":")
            resolver.nameservers, resolver.port = [address], int(port)
        resolver.lifetime = SECONDS
        return resolver


def is_public(address: str) -> bool:
    """Whether an address is nobody's inside of a network, ours among them."""
    found = ipaddress.ip_address(address)
    if not found.is_global or found.is_multicast:
        return False
    return found.version == 4 or (found in _PUBLIC_6 and found not in _6TO4)


@contextmanager
def _ended_after(seconds: float, connection: socket.socket) -> Iterator[None]:
    """Have the connection end by then, however much of it is still to come."""

    def end() -> None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
