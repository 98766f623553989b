"""The names under which a hub may be asked.

A browser takes a page for the hub's own if their names are the same. A foreign page whose name is
pointed at the hub's address once it is loaded (DNS rebinding) would pass for one; what it cannot
do is to ask for another name than its own. So a hub answers to names that it knows alone.
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

    Always allowed are addresses in figures, which no name server can point elsewhere, localhost,
    and this machine's own name. `names` are allowed in addition; ANY lets every name in.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = {_plain(each) for each in ("localhost", socket.gethostname(), *names)}

    def allows(self, name: str) -> bool:
        """Whether a name without a port may be asked for; an IPv6 address stands in brackets."""
        return ANY in self._names or _plain(name) in self._names or _is_address(name)

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        return {} if self.allows(request.host_name) else None


def _plain(name: str) -> str:
    """The name as it is compared: case and the root's dot mean nothing."""
    return name.lower().removesuffix(".")


def _is_address(name: str) -> bool:
    bracketed = name.startswith("[") and name.endswith("]")
    try:
        return ip_address(name[1:-1] if bracketed else name).version == (6 if bracketed else 4)
    except ValueError:
        return False
