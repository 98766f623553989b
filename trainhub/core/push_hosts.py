"""Push hosts: the endpoints that the hub sends web pushes to. A browser's user chooses them."""

import re
from collections.abc import Iterable

# The push services of Chrome and Edge, Firefox, Safari, and Windows. A leading dot means any
# name below.
KNOWN_HOSTS = (
    "fcm.googleapis.com",
    ".push.services.mozilla.com",
    ".push.apple.com",
    ".notify.windows.com",
)
HTTPS_PORT = 443
# Characters of an endpoint: those in use have about 200.
ENDPOINT_LENGTH = 2_000
# One plain form, so that no two parsers can read two hosts in it.
# Without ASCII, IGNORECASE would take U+017F for an s. Each label of the host has to fit into DNS.
_ENDPOINT = re.compile(
    r"https://((?=.{1,253}[:/])[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})*)(?::([0-9]{1,5}))?(?:/[!-~]*)",
    re.IGNORECASE | re.ASCII,
)
_LAST_LABEL_OF_NUMBERS = re.compile(r"(.*\.)?(0x[0-9a-f]*|[0-9]+)\.?")


class PushHosts:
    """The known push hosts on port 443, and those that the operator adds: NAME or NAME:PORT."""

    def __init__(self, added: Iterable[str] = ()) -> None:
        self._own = {_with_port(each) for each in added}
        self._own_names = {name for name, _ in self._own}

    def why_refused(self, endpoint: str) -> str | None:
        """Return why the hub does not send to an endpoint; None if it does."""
        match = _ENDPOINT.fullmatch(endpoint)
        if match is None or len(endpoint) > ENDPOINT_LENGTH or "#" in endpoint or "\\" in endpoint:
            return "a push endpoint is an https URL of a push service, with a path"
        host, port = match[1].lower(), int(match[2] or HTTPS_PORT)
        if _LAST_LABEL_OF_NUMBERS.fullmatch(host):
            return "a push endpoint names its host, not an IP address"
        if (host, port) in self._own:
            return None
        if port != HTTPS_PORT:
            return f"a push endpoint is on port {HTTPS_PORT}"
        if not any(_matches(host, known) for known in KNOWN_HOSTS):
            return "the push service is not known: the operator adds one with --push-hosts"
        return None

    def is_operators(self, host: str) -> bool:
        """Return whether the operator added a host, which may then have a private address."""
        return host.lower() in self._own_names


def _matches(host: str, known: str) -> bool:
    return host.endswith(known) if known.startswith(".") else host == known


def _with_port(text: str) -> tuple[str, int]:
    name, _, port = text.partition(":")
    return name.lower(), int(port or HTTPS_PORT)
