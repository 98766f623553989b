"""The names under which a hub answers.

A browser takes a page for the hub's own if both have the same host name. A foreign site can point
its name at the hub's address after its page is loaded (DNS rebinding). The page's requests then
reach the hub, but they still carry the foreign name. So a hub answers only to names that it knows.
"""

import socket
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from tornado.httputil import HTTPServerRequest
from tornado.routing import Matcher

ANY = "*"


class AllowedHosts(Matcher):
    """Matches the requests whose Host is allowed, whatever its port and case.

    Numeric addresses, localhost and this machine's own name are always allowed: no name server can
    point an address elsewhere. `names` are allowed in addition. ANY allows every name.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = {_plain(each) for each in ("localhost", socket.gethostname(), *names)}

    def allows(self, name: str) -> bool:
        """Return whether a name without a port is allowed. An IPv6 address stands in brackets."""
        return ANY in self._names or _plain(name) in self._names or _is_address(name)

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        return {} if self.allows(request.host_name) else None


def _plain(name: str) -> str:
    """Return a name in lower case and without a dot at its end: neither makes another name."""
    return name.lower().removesuffix(".")


def _is_address(name: str) -> bool:
    bracketed = name.startswith("[") and name.endswith("]")
    try:
        return ip_address(name[1:-1] if bracketed else name).version == (6 if bracketed else 4)
    except ValueError:
        return False
