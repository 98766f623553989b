"""Malformed HTTP/1.1 (RFC 9112) is refused before a handler sees it, and ends its connection.

If a hub and its proxy read a request differently, an attacker could smuggle in a second request.
"""

import pytest

from trainhub.hub.protocol import MOST_SOCKET_BYTES
from trainhub.web.app import MOST_HEAD_BYTES

START = "POST /api/trains/12345/start HTTP/1.1"
SMUGGLED = b"GET /version HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


@pytest.fixture
def running(io_loop, site):
    """Train 12345 is registered, and has not started."""
    io_loop.run_sync(site.register)


@pytest.fixture
def head(site):
    """Return the head of a command by a caller who may give it, with these lines."""
    token = site.token("TTE")  # a single token, since the length depends on the time

    def made(*lines, start=START):
        known = (start, "Host: 127.0.0.1", f"Authorization: Bearer {token}")
        return "\r\n".join([*known, *lines, "", ""]).encode("latin-1")

    return made


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 2", "Content-Length: 3"],
        ["Content-Length: 2, 3"],
        ["Content-Length: -1"],
        ["Content-Length: +2"],
        ["Content-Length: 0x2"],
        ["Content-Length: 2 2"],
        ["Content-Length: 1_0"],
        ["Content-Length: ٢".encode().decode("latin-1")],
        ["Content-Length:"],
        ["Content-Length: 2", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 2"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding: gzip"],
        ["Transfer-Encoding : chunked"],
        ["Content-Length : 2"],
        ["X: y", " Transfer-Encoding: chunked"],
        ["X Y: z"],
        ["no colon"],
        [": no name"],
        ["X: a\0b"],
        ["X: a\rb"],
    ],
    ids=repr,
)
async def test_a_request_that_can_be_read_in_two_ways(site, running, head, send, lines):
    """It gets 400 or no answer; the connection closes, and no request after it counts."""
    answer = await send(head(*lines), b"{}", SMUGGLED)
    assert answer in (b"", b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert site.hub.state("12345/2026-11-23").status == "SCHEDULED"


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "chunks",
    [
        *(b"-2\r\n{}\r\n0\r\n\r\n", b"0x2\r\n{}\r\n0\r\n\r\n", b"2;" + b"x" * 10_000 + b"\r\n{}"),
        *(b"2\r\n{}xx0\r\n\r\n", b"2\n{}\n0\n\n", b"zz\r\n", b"f" * 30 + b"\r\n{}", b"\r\n{}\r\n"),
    ],
    ids=lambda chunks: repr(chunks[:12]),
)
async def test_malformed_chunks(site, running, head, send, chunks):
    """A body of malformed chunks is refused, and the command has not happened."""
    answer = await send(head("Transfer-Encoding: chunked"), chunks, SMUGGLED)
    assert b"200 OK" not in answer
    assert site.hub.state("12345/2026-11-23").status == "SCHEDULED"


@pytest.mark.gen_test
async def test_a_header_may_not_go_on_in_the_next_line(site, running, head, send):
    """A folded line (obsolete in HTTP/1.1) does not count as a header of its own."""
    lines = ("X: y", "\tContent-Length: 50", "Connection: close")
    answer = await send(head(*lines), SMUGGLED)
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert b'"version"' not in answer


@pytest.mark.gen_test
async def test_a_head_has_at_most_16_kb(head, send):
    """At the limit the request is answered; with a byte more the connection is closed."""
    start = "GET /healthz HTTP/1.1"
    empty = len(head("Connection: close", "X: ", start=start))
    fits = head("Connection: close", "X: " + "x" * (MOST_HEAD_BYTES - empty), start=start)
    over = head("Connection: close", "X: " + "x" * (MOST_HEAD_BYTES - empty + 1), start=start)
    assert len(fits) == MOST_HEAD_BYTES
    assert (await send(fits)).startswith(b"HTTP/1.1 200 OK")
    assert b"200 OK" not in await send(over)
    assert b"200 OK" not in await send(over[: MOST_HEAD_BYTES + 1])


@pytest.mark.gen_test
@pytest.mark.parametrize("count", [1_000, 10_000])
async def test_many_headers(head, send, call, count):
    """As many headers as fit into 16 KB are accepted; more are refused, and the hub works on."""
    lines = [f"X{number}: y" for number in range(count)]
    answer = await send(head(*lines, "Connection: close", start="GET /healthz HTTP/1.1"))
    assert answer.startswith(b"HTTP/1.1 200 OK") == (count == 1_000)
    assert (await call("GET", "/healthz")).status == 200


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "size",
    [str(MOST_SOCKET_BYTES + 1), str(33 << 20), "9" * 19, "9" * 4_000, "9" * 5_000],
    ids=lambda size: f"{size[:9]}, {len(size)} digits",
)
async def test_a_body_that_is_announced_too_large(site, running, head, send, size):
    """It gets 413 or a closed connection, without a long wait for the body."""
    answer = await send(head(f"Content-Length: {size}", "Connection: close"), b" " * 70_000)
    assert b"200 OK" not in answer
    assert site.hub.state("12345/2026-11-23").status == "SCHEDULED"


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "path",
    [
        *("/static/..%252frun.py", "/static/%252e%252e/run.py", "/static/..\\run.py"),
        *("/static/..%5c..%5crun.py", "/static/%c0%ae%c0%ae/run.py", "/static/..%00/run.py"),
        *("/static/monitor.js%2500", "/static/;/../run.py", "/static/..;/run.py"),
        *("/static/%2e%2e%5crun.py", "http://127.0.0.1/../run.py", "/static/.%2e/.%2e/etc/passwd"),
    ],
)
async def test_paths_that_lead_out(head, send, path):
    """Encoded once or twice, with backslashes, NULs or overlong UTF-8, such a path is not found."""
    answer = await send(head("Connection: close", start=f"GET {path} HTTP/1.1"))
    assert answer.split()[1] in (b"400", b"403", b"404")
    for told in (b"trainhub.server", b"root:", b"Traceback", b"/trainhub", b".py"):
        assert told not in answer.partition(b"\r\n\r\n")[2]
