"""trainhub/web/static_files.py: the page's files are served with the edge's rules."""

import gzip

import pytest


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("trainhub.js", "text/javascript"),
        ("trainhub.cjs", "text/javascript"),
        ("trainhub.d.ts", "text/plain"),
        ("trainhub.d.cts", "text/plain"),
        ("package.json", "application/json"),
    ],
)
async def test_the_client_s_files_are_served(call, name, kind):
    """An app may take the JavaScript client and its types from the hub itself."""
    answer = await call("GET", f"/static/{name}")
    assert answer.status == 200
    assert kind in answer.headers["Content-Type"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.gen_test
@pytest.mark.parametrize("name", ["../setup.cfg", "%2e%2e/setup.cfg", "", "nothing.js"])
async def test_no_other_file_is(call, name):
    """There is no listing, and no file outside the folder."""
    assert (await call("GET", f"/static/{name}")).status in (403, 404)


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/static/monitor.js", "/static/favicon.svg", "/", "/sw.js"])
async def test_texts_come_compressed_to_browsers_that_take_it(call, path):
    """The same text, in fewer bytes; a client that takes no gzip gets it as it is."""
    plain = await call("GET", path)
    assert "Content-Encoding" not in plain.headers
    packed = await call("GET", path, headers={"Accept-Encoding": "gzip"}, decompress_response=False)
    assert packed.headers["Vary"] == "Accept-Encoding"
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body)


@pytest.mark.gen_test
async def test_a_part_of_a_file_is_not_compressed(site, http_client, base_url):
    """Its offsets count in the file as it is."""
    headers = {"Accept-Encoding": "gzip", "Range": "bytes=0-1999"}
    path = f"{base_url}/static/trainhub.js"
    answer = await http_client.fetch(path, headers=headers, decompress_response=False)
    assert answer.code == 206
    assert "Content-Encoding" not in answer.headers
    assert len(answer.body) == 2_000
