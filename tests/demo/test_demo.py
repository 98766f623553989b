"""trainhub/demo/demo.py: the demo's trains run by the timetable and by the hub's own commands."""

import json
import re
import signal
import time
import urllib.parse
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest
from fakes import MemoryJournal
from railway import chart
from waiting import PATIENCE, until
from witness import WITNESS

from trainhub.access.identity import Identity, Tokens
from trainhub.demo.demo import Demo, DemoClock
from trainhub.demo.timetable import DEMO_TIMETABLE, read_timetable
from trainhub.domain.model import Role, RunStatus

OPERATOR = Identity("operator", Role.ADMIN, frozenset({"*"}))
EVENING = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)
SPEED = 20_000


@pytest.fixture
def timetable(tmp_path):
    """Write a timetable of the tests' own train, which runs from 09:00 to 13:00."""
    train = {key: chart()[key] for key in ("trainNo", "trainName", "stations")}
    path = tmp_path / "timetable.json"
    path.write_text(json.dumps([{**train, "runsOn": ["mon"]}]))
    return path


def test_the_clock_runs_faster_than_the_real_one():
    """One real second is `speed` seconds of the demo."""
    clock = DemoClock(EVENING, 1000)
    before, first, early = time.monotonic(), clock(), time.monotonic()
    time.sleep(0.02)
    late, last, after = time.monotonic(), clock(), time.monotonic()
    passed = (last - first).total_seconds()
    assert 1000 * (late - early) - 1e-3 <= passed <= 1000 * (after - before) + 1e-3
    assert clock().utcoffset() == timedelta(hours=5, minutes=30)


@pytest.mark.gen_test
async def test_a_train_runs_to_its_end_and_starts_anew(make_hub, timetable):
    """A run ends with no one aboard, and the next day's run begins."""
    clock = DemoClock(datetime(2026, 11, 23, 3, 0, tzinfo=UTC), SPEED)
    hub = make_hub(clock=clock)
    demo = Demo(hub, clock, OPERATOR, timetable, seed=7)
    await demo.start()
    (first,) = hub.runs.all()
    await until(lambda: len(list(hub.runs.all())) == 2)
    await demo.stop()
    assert first.run == "12345/2026-11-23"
    assert first.status is RunStatus.COMPLETED
    states = {passenger.state for passenger in first.passengers.values()}
    assert states <= {"ALIGHTED", "NT"}
    assert "ALIGHTED" in states


@pytest.mark.gen_test
async def test_a_demo_that_was_cut_short_goes_on_from_its_journal(make_hub, timetable):
    """After a restart the demo continues each run from its state."""
    journal = MemoryJournal()
    clock = DemoClock(datetime(2026, 11, 23, 3, 0, tzinfo=UTC), SPEED)
    hub = make_hub(journal, clock)
    demo = Demo(hub, clock, OPERATOR, timetable, seed=7)
    await demo.start()
    (state,) = hub.runs.all()
    await until(lambda: state.current == 2)
    await demo.stop()
    await hub.log.append()
    again = make_hub(journal, clock)
    await again.upkeep.load()
    (state,) = again.runs.all()
    assert state.current >= 2
    demo = Demo(again, clock, OPERATOR, timetable, seed=7)
    await demo.start()
    await until(lambda: state.status is RunStatus.COMPLETED)
    await demo.stop()


@pytest.mark.gen_test
async def test_trains_are_taken_up_where_they_should_be(make_hub):
    """At any hour most of the demo's trains are under way."""
    clock = DemoClock(EVENING, 0.001)
    hub = make_hub(clock=clock)
    demo = Demo(hub, clock, OPERATOR, None, seed=1)
    await demo.start()
    assert len(list(hub.runs.all())) == len(read_timetable(DEMO_TIMETABLE)) >= 30
    await until(
        lambda: sum(s.status is RunStatus.RUNNING and s.current for s in hub.runs.all()) > 15
    )
    links = demo.links("http://hub", Tokens({"k": "secret" * 8}))
    await demo.stop()
    assert len(re.findall(r"^  http://hub/\S*$", demo.invitation(links), re.M)) == 4


def get(url, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
        content = json.load(answer)
    WITNESS.answered("GET", urllib.parse.urlsplit(url).path, answer.status, content)
    return content


def test_the_demo_lives_and_stops(start_hub):
    """`run.py --demo` moves trains, has sockets and tokens, and ends within 5 s of Ctrl-C."""
    hub = start_hub("--demo", "--demo-speed", "600")
    deadline = time.monotonic() + PATIENCE
    while (said := "\n".join(hub.said)).count("#token=") < 3:
        assert time.monotonic() < deadline, hub.said
        time.sleep(0.02)
    tokens = re.findall(r"#token=([^&\s]+)", said)
    roles = [get(f"{hub.url}/api/me", token)["result"]["role"] for token in tokens]
    assert roles == ["PASSENGER", "TTE", "ADMIN"]
    seen = set()
    while len(seen) < 3:
        assert time.monotonic() < deadline, "the trains stand still"
        report = get(f"{hub.url}/api/monitor")
        if report["sockets"] >= 30 and report["writeBuffer"]["flushed"] > 100:
            seen.add(report["journal"]["records"])
        time.sleep(0.02)
    assert report["demo"] is True
    assert len(report["trains"]) >= 30
    assert hub.stop(signal.SIGINT) == 0
    assert not any("Traceback" in line or " ERROR " in line for line in hub.logged), hub.logged
    again = start_hub("--demo", folder=hub.folder)
    report = get(f"{again.url}/api/monitor")
    assert report["journal"]["records"] >= max(seen)
