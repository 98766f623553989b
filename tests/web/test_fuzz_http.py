"""The HTTP edge under nonsense: malformed requests on plain TCP.

Each is answered in HTTP, with the protocol's JSON where it is refused, or the connection is closed;
never with 500, and nothing is logged or left. FUZZ_REQUESTS=100000 sends more, SEED the same again.
"""

import asyncio
import gc
import json
import os
import re
import time
import tracemalloc
from collections import Counter
from itertools import product

import pytest
from load import seeded
from mutation import flip, insert, mutated
from recorder import error_codes, operations
from waiting import until

from trainhub.web.base import Edge

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "1000"))
AT_ONCE, BATCH = 16, 500
# Bytes of memory that a request may leave behind; a handler or a connection takes thousands.
BYTES_A_REQUEST, SLACK = 16, 128 * 1024
FIELDS = {"trainNo": "12345", "pnr": "4512345601", "index": "1", "coach": "S1"}
FIELDS |= {"offerId": "12345.2026-11-23.17", "code": "AAA", "file": "trainhub.js"}
FIELDS |= {"clientId": "3f0c9d2b7a61e8"}
# Callers who may not change the train with the mutated requests: the persons are another user's.
WHO = (None, "OTHER_TTE", "OTHER_PASSENGER")
PATHS = sorted((method, path.format(**FIELDS)) for method, path in operations())

METHODS = (
    *(b"get", b"GETT", b"", b"TRACE", b"CONNECT", b"OPTIONS", b"HEAD", b"PATCH", b"DELETE"),
    *(b"PRI", b"__init__", b"P\xd6ST", b"A" * 5_000, b"GET\0"),
)
VERSIONS = (b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/9", b"", b"http/1.1", b"HTTP/1.1 x")
PIECES = (
    *(b"%00", b"%ff", b"%2e%2e", b"..", b"%zz", b"%", b"%C0%AF", b"%ed%a0%80", b"%0d%0aX:%20y"),
    *(b"\xff", b"\0", b"%2f", b"//", b"/" * 200, b"a" * 9_000, b";x=1", b"*", b"%25%32%65", b" "),
    *(b"-1", b"99999999999999999999", b"%E0%A4%A8", b"'", b'"', b"<script>", b"12345/", b"\\"),
    *(
        b"?date=x",
        b"?date=2026-11-23&date=",
        b"?after=-1",
        b"?after=%00",
        b"?q=%ff",
        b"?&&==",
        b"#",
    ),
    *(b"?format=csv", b"?format=%ff", b"?v=" + b"9" * 5_000, b"?state=%ed%a0%80"),
)
HEADERS = (
    *(b"Content-Length: -1", b"Content-Length: x", b"Content-Length: 5, 5", b"Content-Length: +5"),
    *(b"Content-Length: 99999999999999999999", b"Content-Length: 1_0", b"Content-Length: 0x5"),
    *(b"Content-Length: 3\r\nContent-Length: 4", b"Content-Length:", b"Content-Length: \xb2"),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: x"),
    *(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", b"Expect: 100-continue"),
    *(b"Expect: \xff", b"Content-Encoding: gzip", b"Content-Encoding: x", b"Connection: close"),
    *(b"Connection: upgrade\r\nUpgrade: websocket", b"Upgrade: h2c", b"Host: a\r\nHost: b"),
    *(b"Host: \xff", b"Host: a b", b"Host:", b"Host: [::1", b"Host: x:99999", b"no colon here"),
    *(b": no name", b" folded", b"\tfolded", b"X: a\r\n b\r\n\tc", b"X\0: y", b"X: \0", b"X: \xe9"),
    *(b"X: " + b"y" * 20_000, b"\r\n".join(b"H%d: v" % n for n in range(500)), b"X : y", b"X:\ry"),
    *(b"Authorization: Bearer", b"Authorization: Bearer \xff", b"Authorization: Basic eA=="),
    *(b"Authorization: Bearer a.b.c", b"Authorization: Bearer " + b"x" * 9_000, b"Authorization:"),
    *(b"Content-Type: text/plain", b"Content-Type: multipart/form-data", b"Content-Type: \xff"),
    *(b"Content-Type: multipart/form-data; boundary=x", b"Content-Type: application/json; x=\0"),
    *(b"Content-Type: application/x-www-form-urlencoded", b"Idempotency-Key: \xff"),
    *(b"Idempotency-Key:", b"Idempotency-Key: " + b"k" * 100, b"Origin: null", b"Origin: \xff"),
    *(b"Range: bytes=0-", b"Range: bytes=-0", b"Range: bytes=9-1", b"Range: x", b"Range: bytes=-"),
    *(b"Range: bytes=1-2,4-5", b"Range: bytes=99999999-", b"If-Modified-Since: x", b"Cookie: =;;"),
    *(b"If-Modified-Since: Thu, 99 Xxx 0000", b"If-None-Match: \xff", b"If-None-Match: *"),
    *(b"X-Forwarded-For: \xff", b"X-Real-Ip: x", b"X-Forwarded-Proto: \0", b"Cookie: a=\xff"),
    *(b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: x", b"Sec-WebSocket-Protocol: \xff,,"),
)
CHUNKS = (
    *(b"5\r\nhello\r\n0\r\n\r\n", b"x\r\n", b"-1\r\n", b"ffffffffffffffff\r\n", b"5\r\nhel"),
    *(b"5;a=b\r\nhello\r\n0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"5\r\nhelloXX0\r\n\r\n", b"\r\n"),
    *(b"0x5\r\nhello\r\n0\r\n\r\n", b"1" * 5_000, b" 5\r\nhello\r\n", b"+5\r\nhello\r\n", b"5\n"),
)


class Request:
    """A request in its parts, as bytes: valid at first."""

    def __init__(self, chance, tokens):
        method, path = chance.choice(PATHS)
        self.method, self.path, self.version = method.encode(), path.encode(), b"HTTP/1.1"
        self.headers = [b"Host: 127.0.0.1", b"Content-Type: application/json"]
        token = chance.choice(tokens)
        if token:
            self.headers.append(f"Authorization: Bearer {token}".encode())
        self.body = b"" if method == "GET" else body(chance)
        if self.body:
            self.headers.append(b"Content-Length: %d" % len(self.body))

    def __bytes__(self):
        line = b" ".join((self.method, self.path, self.version))
        return b"\r\n".join((line, *self.headers, b"", self.body))


def body(chance):
    found = mutated(chance) if chance.random() < 0.7 else "{}"
    return found if isinstance(found, bytes) else found.encode("utf-8", "surrogatepass")


def _method(chance, request):
    request.method = chance.choice(METHODS)


def _version(chance, request):
    request.version = chance.choice(VERSIONS)


def _path(chance, request):
    place = chance.randrange(len(request.path) + 1)
    request.path = request.path[:place] + chance.choice(PIECES) + request.path[place:]


def _target(chance, request):
    whole = (b"http://else.where/api/trains", b"*", b"", b"else.where:443", b"api/trains", b"?")
    request.path = chance.choice(whole)


def _header(chance, request):
    place = chance.randrange(len(request.headers) + 1)
    request.headers.insert(place, chance.choice(HEADERS))


def _less(chance, request):
    request.headers.pop(chance.randrange(len(request.headers))) if request.headers else None


def _chunks(chance, request):
    request.headers.append(b"Transfer-Encoding: chunked")
    request.headers = [each for each in request.headers if b"Content-Length" not in each]
    request.body = b"".join(chance.choice(CHUNKS) for _ in range(chance.randint(1, 3)))


_OF_PARTS = (_method, _version, _path, _path, _target, _header, _header, _header, _less, _chunks)


def _cut(chance, data):
    return data[: chance.randrange(len(data) + 1)]


def _noise(chance, data):
    return chance.randbytes(chance.randint(1, 300))


def _line_ends(chance, data):
    return data.replace(b"\r\n", chance.choice((b"\n", b"\r", b"\r\r\n", b"\n\n")), 1)


_OF_BYTES = (flip, flip, insert, _cut, _noise, _line_ends)


def nonsense(chance, tokens):
    """Return the bytes of a request after one to three mutations."""
    request = Request(chance, tokens)
    for _ in range(chance.randint(1, 3)):
        chance.choice(_OF_PARTS)(chance, request)
    data = bytes(request)
    return chance.choice(_OF_BYTES)(chance, data) if chance.random() < 0.4 else data


# --- what comes back ------------------------------------------------------------------------------

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) [^\r\n]*\r\n((?:[!-9;-~]+: ?[^\r\n]*\r\n)*)\r\n")

# For /ws openapi.yaml says that a bad handshake is refused in plain text.
_HANDSHAKE = re.compile(rb'^(Can "Upgrade"|"Connection" must|Cross origin|Missing/Invalid)')


def check_answer(data, head_only):
    """Return the status of a complete answer, or None if it is cut short. Fails without HTTP."""
    if b"\r\n\r\n" not in data:
        assert b"HTTP/1.1 "[: len(data)] == data[:9], data[:200]
        return None
    found = _STATUS.match(data)
    assert found, data[:300]
    status, rest = int(found[1]), data[found.end() :]
    if status == 100:
        return check_answer(rest, head_only) if rest else None
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (each.partition(b":") for each in found[2].split(b"\r\n"))
    }
    size = int(headers.get(b"content-length", b"0"))
    bare = head_only or status in (101, 204, 304)
    if not bare and len(rest) < size:
        return None
    assert status != 500, data[:300]
    if status >= 400 and size and not bare and not _HANDSHAKE.search(rest):
        assert headers[b"content-type"].startswith(b"application/json"), data[:300]
        error = json.loads(rest[:size])["error"]
        assert error["code"] in error_codes()
        assert error["message"]
    return status


async def outcome(port, data, read_some):
    """Return a request's outcome: its status, "closed", or "waits" for an incomplete request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found, head_only = b"", data.lstrip(b"\r\n").startswith(b"HEAD")
    try:
        writer.write(data)
        while (more := await read_some(reader)) is not None:
            found += more
            if found and (status := check_answer(found, head_only)) is not None:
                return status
            if not more:
                return "closed"
        return "waits"
    except ConnectionError:
        return "closed"
    finally:
        writer.transport.abort()


def in_use():
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.mark.sized
@pytest.mark.gen_test(timeout=36_000)
async def test_nonsense_is_answered_or_closed(
    site, http_server, http_port, call, read_some, caplog
):
    """Each answer is HTTP and the protocol's JSON; afterwards no connection or handler is left."""
    seed, chance = seeded()
    print(f"seed {seed}")
    await site.register()
    tokens = [who and site.token(who) for who in WHO]
    before = site.hub.log.last
    seen, start = Counter(), time.monotonic()

    async def send(count):
        for _ in range(count):
            data = nonsense(chance, tokens)
            try:
                seen[await outcome(http_port, data, read_some)] += 1
            except AssertionError:
                print(f"sent {data[:2_000]!r}")
                raise

    await call("GET", "/static/trainhub.js")  # Python loads its table of file types now
    tracemalloc.start()
    try:
        first = 0
        for _ in range(0, REQUESTS, BATCH):
            await asyncio.gather(*(send(BATCH // AT_ONCE + 1) for _ in range(AT_ONCE)))
            assert (await call("GET", "/api/trains")).result[0]["trainNo"] == "12345"
            await until(lambda: len(http_server._connections) <= 1)  # `call` keeps its own
            assert not [r for r in caplog.records if r.exc_info or r.levelname == "ERROR"]
            caplog.clear()  # else the test itself would hold these records
            first = first or in_use()
        grown = in_use() - first
    finally:
        tracemalloc.stop()
    print(f"{seen.total()} requests in {time.monotonic() - start:.0f} s: {dict(seen)}")
    print(f"memory {first} B after {BATCH}, {first + grown} B at the end")
    assert grown < SLACK + BYTES_A_REQUEST * seen.total()
    assert site.hub.log.last == before
    assert seen.keys() >= {400, 401, 403, 404, 405, "closed", "waits"}
    left = [each for each in gc.get_objects() if isinstance(each, Edge)]
    assert len(left) <= 1, left[:3]


BROKEN = {
    "deep lists": "[" * 10_000 + "]" * 10_000,
    "deep objects": '{"a":' * 10_000 + "1" + "}" * 10_000,
    "beyond all floats": "1e400",
    "5,000 digits": "1" * 5_000,
    "NaN": "NaN",
    "half a pair": '"\\ud800"',
    "no UTF-8": b'"\xff"',
}
PLACES = ('{"text": @}', '{"text": "x", "level": @}', '{"a": @, "text": "x"}', "@", "[@]")


@pytest.mark.gen_test
@pytest.mark.parametrize(("name", "place"), product(BROKEN, PLACES))
async def test_a_body_that_could_not_be_sent_on_is_refused(site, call, name, place):
    """Such a value gets 400 in every place of a command's body, and nothing has happened."""
    await site.register()
    odd = BROKEN[name]
    odd = odd if isinstance(odd, bytes) else odd.encode()
    before = site.hub.log.last
    headers = {"Content-Type": "application/json"}
    sent = place.encode().replace(b"@", odd)
    answer = await call("POST", "/api/trains/12345/announcements", sent, "ADMIN", headers)
    assert (answer.status, answer.code) == (400, "BAD_MESSAGE")
    assert site.hub.log.last == before


@pytest.mark.gen_test
async def test_of_a_field_that_is_there_twice_the_last_counts(site, call):
    """As on a socket, and as browsers read it."""
    await site.register()
    sent = b'{"text": 7, "text": "mind the gap"}'
    headers = {"Content-Type": "application/json"}
    answer = await call("POST", "/api/trains/12345/announcements", sent, "ADMIN", headers)
    assert answer.result["text"] == "mind the gap"
