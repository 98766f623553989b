"""What the pages of other sites may do: nothing, except for trusted origins.

Which requests are refused is tornado's to say (`cross_origin_protection`, `trusted_origins`); here
stands what a trusted page's browser has to be told (CORS). The hub knows no client by cookies,
so no answer allows credentials, and none allows every origin.
"""

from collections.abc import Collection, Iterable

from tornado.httputil import HTTPHeaders

_SENT = "Authorization, Content-Type, Idempotency-Key"
_SHOWN = "Retry-After"
# Seconds for which a browser need not ask again whether it may.
_LASTS = "600"


def cors_headers(request: HTTPHeaders, trusted: Collection[str]) -> dict[str, str]:
    """What an answer says to the page that asked; nothing if no origin is trusted."""
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
    """What a browser is told that asks before the page's request; None if it may not make it."""
    if request.get("Origin") not in trusted or "Access-Control-Request-Method" not in request:
        return None
    return {
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": _SENT,
        "Access-Control-Max-Age": _LASTS,
    }
