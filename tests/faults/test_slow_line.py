"""A slow line to MongoDB: all gets through it, and nothing is sent again for ever."""

import time

import pytest
from load import asker
from pymongo import MongoClient
from railway import chart, person
from slow_line import SlowLine
from waiting import wait_for

# Bytes a second. The chart's event alone needs far more than the three seconds of a usual write.
RATE = 20_000
PEOPLE = 400
SECONDS = 240


@pytest.mark.soak
def test_a_full_train_gets_through_a_slow_line(start_hub, start_mongod, capsys):
    """A document that is larger than the line takes in a usual write's time, and many small ones.

    Each is sent a few times at most. Meanwhile /readyz says that documents wait.
    """
    mongod = start_mongod()
    with SlowLine(mongod, RATE) as line, MongoClient(mongod.uri) as client:
        hub = start_hub("--mongodb-uri", line.uri)
        ask = asker(hub)
        coaches = [{"code": f"S{n}", "class": "SL", "berths": 72} for n in range(1, 8)]
        people = [
            person(n + 1, coach=f"S{n // 60 + 1}", berth=n % 60 + 1, pnr=f"45{n:08}")
            for n in range(PEOPLE)
        ]
        start = time.monotonic()
        ask("/api/trains", chart(*people, coaches=coaches))
        database = client["trainhub"]
        wait_for(hub.degraded)
        wait_for(lambda: database.passengers.count_documents({}) == PEOPLE, seconds=SECONDS)
        wait_for(lambda: database.events.count_documents({}) == 1, seconds=SECONDS)
        took, carried = time.monotonic() - start, line.carried
        size = sum(
            client["trainhub"].command("collStats", name)["size"]
            for name in ("passengers", "events", "runs")
        )
        with capsys.disabled():
            print(f"\n{size} bytes over a line of {RATE} a second: {carried} in {took:.0f} s")
        assert carried < 6 * size
        # Once it is through, the line is not used for the same again.
        wait_for(lambda: not hub.degraded(), seconds=SECONDS)
        line.rate = 10**8
        before = line.carried
        time.sleep(3)
        assert line.carried - before < size / 10
