"""Who sends a request, by address, as far as our own proxies say."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network


def client_address(forwarded_for: str, trusted_proxies: int, peer: str) -> str:
    """A name for who sends: attempts and tries are counted by it.

    Args:
        forwarded_for: the header ``x-forwarded-for``; what stands in front of what our proxies
            added is the sender's own word, and not looked at.
        trusted_proxies: how many proxies of ours add to it.
        peer: the other end of the connection, where there is no proxy.
    """
    hops = [part.strip() for part in forwarded_for.split(",")]
    if trusted_proxies and len(hops) >= trusted_proxies and hops[-trusted_proxies]:
        return client_name(hops[-trusted_proxies])
    return client_name(peer)


def client_name(address: str) -> str:
    """Of IPv6 the network alone: everybody has 2⁶⁴ addresses of theirs."""
    try:
        found = ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ip_network((found, 64), strict=False))
    return str(found)
