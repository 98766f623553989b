"""trainhub/core/lateness.py: how long the oldest record waits for a reader, by no wall clock."""

import pytest
from load import asker
from railway import chart
from waiting import wait_for

from trainhub.core.lateness import LATE_SECONDS, MOST_MARKS, Lateness


class Place:
    """Where a reader is, as a Lateness sees it."""

    def __init__(self):
        self.done = self.head = 0
        self.now = 100.0
        self.late = Lateness(self, lambda: self.head, "it is {} s late", lambda: self.now)

    def second(self, records=0, done=None):
        """A second goes by, in which records come; the reader has got to `done`."""
        self.now += 1
        self.head += records
        self.done = self.head if done is None else done
        self.late.note()


@pytest.fixture
def place():
    return Place()


def test_a_reader_that_keeps_up_is_not_late(place):
    """However many records come."""
    for _ in range(100):
        place.second(records=7)
    assert place.late.seconds == 0
    assert place.late.complaints() == []


def test_the_age_is_of_the_oldest_record_that_waits(place):
    """Also when the reader goes on, but always some seconds behind."""
    place.second(records=1)
    for _ in range(30):
        place.second(records=10, done=1)
    assert place.late.seconds == 29
    assert place.late.complaints() == ["it is 29 s late"]
    place.second(records=10, done=201)  # the records of the last eleven seconds wait
    assert place.late.seconds == pytest.approx(10, abs=1)
    place.second()
    assert place.late.seconds == 0


def test_the_limit_is_of_the_oldest_alone(place):
    """A record that has just come is not late, and what is late stays so without new ones."""
    place.second(records=1, done=0)
    place.now += LATE_SECONDS
    assert place.late.complaints() == []
    place.now += 1
    assert place.late.complaints() == [f"it is {LATE_SECONDS + 1:.0f} s late"]


def test_a_record_that_is_kept_until_its_time_is_not_late_before(place):
    """An e-mail that waits for an answer to the push is no complaint before its time."""
    overdue = None
    late = Lateness(place, lambda: place.head, "late", lambda: place.now, lambda: overdue)
    place.head = 1
    late.note()
    place.now += 60
    assert late.seconds == 60
    for overdue in (0.0, 20.0, 90.0):
        assert late.seconds == min(60, overdue)
        assert bool(late.complaints()) is (overdue > LATE_SECONDS)


def test_a_day_of_lateness_takes_no_more_memory_than_ten_minutes(place):
    """The age stays right; what is between gets coarser."""
    for _ in range(24 * 3600):
        place.second(records=1, done=0)
    assert len(place.late._marks) <= MOST_MARKS
    assert place.late.seconds == 24 * 3600 - 1
    place.second(records=1, done=place.head // 2)
    assert place.late.seconds == pytest.approx(12 * 3600, rel=0.02)


def test_a_hub_says_how_old_its_changes_are(start_hub, start_mongod):
    """MongoDB is frozen: /readyz names the age of what it lacks, and no longer when it goes on."""
    mongod = start_mongod()
    hub = start_hub("--mongodb-uri", mongod.uri)
    ask = asker(hub)
    ask("/api/trains", chart())
    wait_for(lambda: ask("/readyz")["late"]["mongodb"] == 0)
    mongod.freeze()
    ask("/api/trains/12345/start", {})
    lacks = "MongoDB lacks changes that are"
    wait_for(lambda: any(lacks in each for each in hub.degraded()))
    assert ask("/readyz")["late"]["mongodb"] >= LATE_SECONDS
    assert ask("/readyz")["late"]["email"] < 5
    mongod.thaw()
    wait_for(lambda: not hub.degraded())
