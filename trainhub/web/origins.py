"""What the pages of other sites may do: nothing, except for trusted origins.

Tornado refuses the requests (`cross_origin_protection`, `trusted_origins`). This file makes the
headers that a trusted page's browser needs (CORS). The hub uses no cookies, so no answer allows
credentials. No answer allows every origin.
"""

from collections.abc import Collection, Iterable

from tornado.httputil import HTTPHeaders

# Headers that a page may send.
_SENT = "Authorization, Content-Type, Idempotency-Key"
# Headers of an answer that a page may read.
_SHOWN = "Retry-After"
# Seconds for which a browser may remember the answer to a preflight.
_LASTS = "600"


def cors_headers(request: HTTPHeaders, trusted: Collection[str]) -> dict[str, str]:
    """Return the CORS headers of an answer; none if no origin is trusted."""
    if not trusted:
        return {}
    origin = request.get("Origin")
    if origin is None or origin not in trusted:
        return {"Vary": "Origin"}
    return {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": _SHOWN,
    }


def preflight_headers(
    request: HTTPHeaders, trusted: Collection[str], methods: Iterable[str]
) -> dict[str, str] | None:
    """Return the headers that answer a preflight. None means that the page may not ask."""
    if request.get("Origin") not in trusted or "Access-Control-Request-Method" not in request:
        return None
    return {
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": _SENT,
        "Access-Control-Max-Age": _LASTS,
    }
