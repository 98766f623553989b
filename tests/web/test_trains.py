"""trainhub/web/trains.py: the list of all runs, encoded line by line as they change."""

import gzip
import json
from datetime import date

import pytest
from callers import OPERATOR

from trainhub.domain import commands as c
from trainhub.domain.views import summary


@pytest.fixture
def running(io_loop, site):
    """Forty runs of train 12345, so that the list is worth compressing."""
    for day in range(40):
        start = f"2026-{11 + day // 20}-{1 + day % 20:02}"
        io_loop.run_sync(lambda start=start: site.register(startDate=start))


@pytest.mark.gen_test
async def test_the_list_shows_each_run_as_it_is(call, site, running):
    """The list follows each change, and drops runs that have left the hub."""
    for day in (1, 2):
        found = (await call("GET", "/api/trains")).result
        assert found == [summary(state) for state in site.hub.runs.all()]
        await site.hub.execute(
            c.StartJourney(train_no="12345", start_date=date(2026, 11, day)), OPERATOR
        )
    gone = next(iter(site.hub.runs._runs))
    del site.hub.runs._runs[gone]
    assert len((await call("GET", "/api/trains")).result) == 39


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("accepted", "is_compressed"),
    [("gzip", True), ("br, GZIP;q=0.5", True), ("gzip;q=0", False), ("br", False), (None, False)],
)
async def test_it_is_compressed_for_those_that_take_it_so(
    call, running, accepted, is_compressed, http_client, base_url
):
    """The content is the same, and Vary tells caches about it."""
    headers = {} if accepted is None else {"Accept-Encoding": accepted}
    answer = await http_client.fetch(
        f"{base_url}/api/trains", headers=headers, decompress_response=False
    )
    assert (answer.headers.get("Content-Encoding") == "gzip") is is_compressed
    assert "Accept-Encoding" in answer.headers["Vary"]
    plain = gzip.decompress(answer.body) if is_compressed else answer.body
    assert json.loads(plain)["result"] == (await call("GET", "/api/trains")).result
