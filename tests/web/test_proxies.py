"""trainhub/web/proxies.py: X-Forwarded headers of trusted proxies, and of other peers."""

import pytest
from tornado.httputil import HTTPHeaders
from tornado.web import RequestHandler

from trainhub.web.proxies import Proxies

TRUSTED = Proxies(["10.0.0.5", "10.1.0.0/16", "fd00::/8"])


def forwarded(text=None, proto=None):
    headers = HTTPHeaders()
    for name, value in (("X-Forwarded-For", text), ("X-Forwarded-Proto", proto)):
        if value is not None:
            headers.add(name, value)
    return headers


@pytest.mark.parametrize(
    ("peer", "said", "found"),
    [
        ("10.0.0.5", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.5", None, "10.0.0.5"),
        ("10.0.0.5", "", "10.0.0.5"),
        ("10.0.0.6", "203.0.113.9", "10.0.0.6"),
        ("203.0.113.1", "10.0.0.5", "203.0.113.1"),
        ("10.1.2.3", "203.0.113.9", "203.0.113.9"),
        ("::ffff:10.0.0.5", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.5", "::ffff:203.0.113.9", "203.0.113.9"),
        ("fd00::1", "2001:db8::9", "2001:db8::9"),
        # A client's own claim is to the left of what the proxy saw.
        ("10.0.0.5", "127.0.0.1, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.5", "10.0.0.5, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.5", "198.51.100.1, 203.0.113.9, 10.1.0.7", "203.0.113.9"),
        ("10.0.0.5", "10.1.0.8,10.1.0.7", "10.1.0.8"),
        # An unreadable entry ends the search: the last known address counts.
        ("10.0.0.5", "203.0.113.9, unknown", "10.0.0.5"),
        ("10.0.0.5", "203.0.113.9, unknown, 10.1.0.7", "10.1.0.7"),
        ("10.0.0.5", "203.0.113.9:1234", "10.0.0.5"),
        ("10.0.0.5", ",,,", "10.0.0.5"),
        ("10.0.0.5", "203.0.113.9,", "10.0.0.5"),
        ("10.0.0.5", "x" * 10_000, "10.0.0.5"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_the_client_s_address(peer, said, found):
    """The nearest address that is not a trusted proxy's; other peers' headers are ignored."""
    assert TRUSTED.client(peer, "http", forwarded(said))[0] == found


@pytest.mark.parametrize(
    ("peer", "said", "found"),
    [
        *(("10.0.0.5", "https", "https"), ("10.0.0.5", "HTTPS", "https")),
        *(("10.0.0.5", "http, https", "https"), ("10.0.0.5", "https, http", "http")),
        *(("10.0.0.5", "gopher", "http"), ("10.0.0.5", "", "http"), ("10.0.0.5", None, "http")),
        ("203.0.113.1", "https", "http"),
    ],
)
def test_the_client_s_protocol(peer, said, found):
    """The nearest trusted proxy says whether the client speaks TLS."""
    assert TRUSTED.client(peer, "http", forwarded(proto=said))[1] == found


def test_by_default_no_proxy_is_trusted():
    """Without --trusted-proxies no peer is trusted, also not on this machine."""
    said = forwarded("203.0.113.9", "https")
    for peer in ("127.0.0.1", "::1", "10.0.0.5"):
        assert Proxies().client(peer, "http", said) == (peer, "http")


class TestBehindOne:
    """Behind a trusted proxy each request has the client's address and protocol."""

    @pytest.fixture
    def proxies(self, request):
        return Proxies(getattr(request, "param", ["127.0.0.1"]))

    @pytest.fixture
    def seen(self, monkeypatch):
        """Return the address and protocol of each request, as its handler sees them."""
        found = []
        made = RequestHandler.__init__

        def init(handler, application, request, **options):
            found.append((request.remote_ip, request.protocol))
            made(handler, application, request, **options)

        monkeypatch.setattr(RequestHandler, "__init__", init)
        return found

    @pytest.mark.gen_test
    async def test_each_request_of_a_connection_has_its_own(self, seen, send):
        """A request's headers do not apply to the next request."""
        first = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n"
        last = "Connection: close\r\n"
        request = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n{}\r\n"
        answer = await send(*(request.format(each).encode() for each in (first, "", last)))
        assert seen == [("203.0.113.9", "https"), ("127.0.0.1", "http"), ("127.0.0.1", "http")]
        assert answer.count(b"Strict-Transport-Security: max-age=31536000") == 1

    @pytest.mark.gen_test
    @pytest.mark.parametrize("proxies", [["10.0.0.5"]], indirect=True)
    async def test_a_stranger_s_words_are_not_believed(self, seen, call):
        """Headers of a peer that is not a trusted proxy mean nothing."""
        said = dict.fromkeys(("X-Forwarded-For", "X-Real-Ip", "Forwarded"), "203.0.113.9")
        answer = await call("GET", "/healthz", headers={**said, "X-Forwarded-Proto": "https"})
        assert seen == [("127.0.0.1", "http")]
        assert "Strict-Transport-Security" not in answer.headers
