"""trainhub/web/static_files.py: the page's files are served with the edge's rules."""

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
