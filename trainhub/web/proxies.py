"""The address of a client behind a proxy: only trusted proxies are believed.

Tornado's own `xheaders` believes any peer.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from tornado.httputil import HTTPHeaders


class Proxies:
    """The proxies whose X-Forwarded-For and X-Forwarded-Proto are believed."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        """`networks` are addresses, or networks like 10.1.0.0/16."""
        self._networks = [ip_network(each, strict=False) for each in networks]

    def trusts(self, address: str) -> bool:
        found = _address(address)
        return found is not None and any(found in network for network in self._networks)

    def client(self, peer: str, protocol: str, headers: HTTPHeaders) -> tuple[str, str]:
        """Return the address and the protocol, "http" or "https", of the client behind a peer."""
        if not self._networks or not self.trusts(peer):
            return peer, protocol
        found = self._walk(peer, headers.get("X-Forwarded-For", ""))
        said = headers.get("X-Forwarded-Proto", "").rpartition(",")[2].strip().lower()
        return found, said if said in ("http", "https") else protocol

    def _walk(self, peer: str, forwarded: str) -> str:
        """Return the first address from the right that is not a trusted proxy's.

        Each proxy adds its own peer at the right. A stranger may have written what is left of that.
        """
        found = peer
        for text in reversed(forwarded.split(",")):
            address = _address(text.strip())
            if address is None:
                break
            found = str(address)
            if not self.trusts(found):
                break
        return found


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address; None if it is not one. An IPv4 address in IPv6 form becomes IPv4."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
