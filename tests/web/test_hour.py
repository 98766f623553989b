"""trainhub/web/hour.py: the figures of the last hour, in samples."""

import pytest

from trainhub.web import hour

HERE = {"trainNo": "12345", "startDate": "2026-11-23"}
pytestmark = pytest.mark.gen_test


async def test_a_sample_has_the_figures_of_its_moment(call, connect, site):
    """Sockets by role, rooms, what was written and sent, and the memory of the process."""
    await site.register()
    tte = await connect("TTE")
    await tte.ask("SUBSCRIBED", "SUBSCRIBE_TRAIN", **HERE)
    await connect()
    assert (await call("GET", "/api/hour")).result == {"seconds": 10, "samples": []}
    site.hour.take()
    (sample,) = (await call("GET", "/api/hour")).result["samples"]
    assert sample.pop("at").endswith("+00:00")
    assert 1 << 20 < sample.pop("memoryBytes") < 1 << 34
    assert sample.pop("commitMillis") >= 0
    assert sample == {
        "sockets": {"total": 2, "passengers": 0, "ttes": 1, "admins": 0, "others": 1},
        "rooms": 1,
        "records": 1,
        "sent": 0,
        "flushMillis": 0.0,
        "loopMillis": 0,
    }


async def test_only_an_hour_is_held(call, site):
    """Older samples go, so memory has a bound."""
    for _ in range(hour.MOST_SAMPLES + 5):
        site.hour.take()
    samples = (await call("GET", "/api/hour")).result["samples"]
    assert len(samples) * hour.SAMPLE_SECONDS == 3600


async def test_memory_without_proc(monkeypatch, tmp_path):
    """On a system without /proc the most memory so far is told."""
    monkeypatch.setattr(hour, "Path", lambda _: tmp_path / "nothing")
    assert 1 << 20 < hour.memory_bytes() < 1 << 34
