"""trainhub/web/app.py: the addresses of pages and files, and all other addresses."""

import asyncio
import contextlib
from pathlib import Path

import pytest
from waiting import PATIENCE

from trainhub.web.app import STATIC

FILES = sorted(path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*.*"))


@pytest.mark.gen_test
async def test_the_page(call):
    """GET / is the monitor page, for all callers."""
    answer = await call("GET", "/")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.body == (STATIC / "monitor.html").read_bytes()


@pytest.mark.gen_test
async def test_the_page_keeps_to_its_security_policy(call):
    """The page has no inline script or style and none of another site, as its policy says."""
    answer = await call("GET", "/")
    policy = dict(
        rule.strip().split(" ", 1) for rule in answer.headers["Content-Security-Policy"].split(";")
    )
    assert policy.pop("default-src") == "'none'"
    loads = ("script-src", "style-src", "img-src", "connect-src", "manifest-src")
    assert {policy.pop(each) for each in loads} == {"'self'"}
    assert set(policy.values()) == {"'none'"}
    assert policy["frame-ancestors"] == "'none'"
    assert policy["base-uri"] == "'none'"
    assert "unsafe" not in str(policy)
    text = answer.body.decode()
    for forbidden in ("<style", " style=", " onclick=", " onload=", "javascript:", "http://"):
        assert forbidden not in text
    assert text.count("<script") == text.count('<script type="module" src="static/')


@pytest.mark.gen_test
@pytest.mark.parametrize("name", FILES)
async def test_static_files(call, name):
    """Each file is served as it is on disk, with its type; browsers must ask whether it is new."""
    answer = await call("GET", f"/static/{name}")
    assert answer.status == 200
    assert answer.body == (STATIC / name).read_bytes()
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    kinds = {".html": "text/html", ".css": "text/css", ".js": "javascript", ".svg": "image/svg"}
    kinds |= {".ts": "text/plain", ".cts": "text/plain", ".cjs": "javascript", ".md": "text/"}
    kinds |= {".json": "application/json", "": ""}
    kinds[".webmanifest"] = "application/manifest+json"
    assert kinds[Path(name).suffix] in answer.headers["Content-Type"]
    again = await call("GET", f"/static/{name}", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")


@pytest.mark.gen_test
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
@pytest.mark.parametrize(
    "path",
    [
        *("/nowhere", "/api", "/api/", "/api/trains/", "/api/trains//start", "/API/trains"),
        *("/ws/", "//", "/api/nothing", "/metrics/x", "/.env", "/index.html", "/%00", "/static"),
    ],
)
async def test_an_unknown_address_is_a_json_404(call, method, path):
    """Every method gets the same 404 in JSON."""
    answer = await call(method, path, b"{}" if method in ("POST", "PUT", "PATCH") else None)
    assert answer.status == 404
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    if method != "HEAD":
        assert answer.json["error"]["message"] == "there is nothing at this address"


@pytest.mark.gen_test
async def test_an_unknown_address_is_a_404_while_loading_too(call, site):
    """While the hub loads, an unknown address gets 404, not 503."""
    site.hub.loaded = False
    assert (await call("GET", "/nowhere")).status == 404


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/static/", "/static/.", "/static/./", "/static/nothing.js"])
async def test_folders_are_not_listed(call, path):
    """The answer names no file and no path of this machine."""
    answer = await call("GET", path)
    assert answer.status in (403, 404)
    for told in [*FILES, str(STATIC), "Traceback"]:
        assert told.encode() not in answer.body


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "path",
    [
        "/static/../run.py",
        "/static/..%2frun.py",
        "/static/%2e%2e/run.py",
        "/static/%2e%2e%2frun.py",
        "/static/..%5crun.py",
        "/static/....//run.py",
        "/static/monitor.js/../../run.py",
        "/static//etc/passwd",
        "/static/%2fetc/passwd",
        "/static/../static_other/x",
        "/static/monitor.js%00.png",
        "/static/%00",
        "/static/" + "../" * 12 + "etc/passwd",
        "/../run.py",
    ],
)
async def test_nothing_outside_the_folder_is_served(http_server, http_port, path):
    """The path is sent as it is, without a client that normalizes it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", http_port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] in (b"400", b"403", b"404")
    for told in (b"trainhub.server", b"root:", str(STATIC).encode(), b"Traceback"):
        assert told not in body


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "request_line",
    [b"", b"GET", b"GET / HTTP/9.9", b"\x16\x03\x01", b"GET / HTTP/1.1\r\nHost", b"x" * 70_000],
    ids=lambda line: repr(line[:20]),
)
async def test_a_request_that_is_not_http_disturbs_no_other(
    http_server, http_port, call, request_line
):
    """The hub closes its connection, and serves the next one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", http_port)
    writer.write(request_line + b"\r\n\r\n")
    writer.write_eof()
    with contextlib.suppress(ConnectionError):
        assert not (await asyncio.wait_for(reader.read(), PATIENCE)).startswith(b"HTTP/1.1 200")
    writer.close()
    assert (await call("GET", "/healthz")).status == 200


@pytest.mark.gen_test
async def test_the_page_can_be_asked_for_by_head(call):
    """HEAD gets the head of the answer and no body."""
    answer = await call("HEAD", "/")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Type"].startswith("text/html")
